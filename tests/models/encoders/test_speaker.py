"""The front end is librosa's, the network the package's; voices of one person are more alike than others'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.checkpoint import CheckpointError
from models.encoders.speaker import EMBEDDING, RATE, SpeakerNet, mel_bank, mel_power
from tests.data import shared_data, speaker_encoder

# librosa 0.11.0, feature.melspectrogram(y=sound(), sr=16000, n_fft=400, hop_length=160, n_mels=40): every
# fifth band of some frames
LIBROSA = {
    0: (0.1578, 0.037758, 0.0019224, 0.00051189, 0.00013159, 4.5939e-05, 2.1783e-05, 1.1545e-05),
    20: (0.094545, 0.0042108, 0.0011983, 0.00044431, 0.00017178, 7.2238e-05, 3.7662e-05, 2.2024e-05),
    49: (0.096099, 0.0038498, 0.0011846, 0.00040664, 0.00014816, 7.6309e-05, 3.8527e-05, 2.2384e-05),
}
# resemblyzer 0.1.4: VoiceEncoder().forward of that spectrogram's first 50 frames, some of its 256 numbers
PACKAGE = {6: 0.06539, 9: 0.17296, 10: 0.09258, 11: 0.11082, 15: 0.13611, 17: 0.07162, 20: 0.10956}


def sound() -> np.ndarray:
    """Half a second of a tone, a rising tone and a buzz."""
    t = np.arange(8000) / RATE
    rising = np.sin(2 * np.pi * (500 * t + 2500 * t * t))
    buzz = np.sign(np.sin(2 * np.pi * 90 * t))
    return (0.1 * np.sin(2 * np.pi * 220 * t) + 0.05 * rising + 0.02 * buzz).astype(np.float32)


def test_the_front_end_is_librosas() -> None:
    mel = mel_power(torch.from_numpy(sound())[None], None)[0]
    assert mel.shape == (50, 40)
    for frame, wanted in LIBROSA.items():
        assert mel[frame, ::5].tolist() == pytest.approx(wanted, rel=1e-3)


def test_every_band_has_unit_area_and_none_is_empty() -> None:
    area = mel_bank().sum(1) * RATE / 400  # the bins are 40 Hz apart: wide bands are met by more of them
    assert area[-10:].tolist() == pytest.approx([1.0] * 10, abs=0.02)
    assert (mel_bank().sum(1) > 0).all()


def test_the_network_is_the_packages() -> None:
    net = SpeakerNet.load(speaker_encoder())
    with torch.inference_mode():
        (embedding,) = net(mel_power(torch.from_numpy(sound())[None], None))
    assert {i: round(float(embedding[i]), 5) for i in PACKAGE} == pytest.approx(PACKAGE, abs=2e-5)


def test_a_gain_changes_nothing() -> None:
    net = SpeakerNet().eval()
    loud, soft = net.embed([sound()]), net.embed([sound() * 0.01])
    assert np.allclose(loud, soft, atol=1e-4)


def test_embeddings_are_of_unit_length_whatever_the_length_of_the_sound() -> None:
    net = SpeakerNet().eval()
    for samples in (1, 4000, 25_600):
        made = net.embed([np.resize(sound(), samples)] * 2)
        assert made.shape == (2, EMBEDDING)
        assert np.linalg.norm(made, axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_digital_silence_is_finite() -> None:
    assert np.isfinite(SpeakerNet().eval().embed([np.zeros(25_600, np.float32)])).all()


def test_an_absent_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: no speaker encoder there; pip install"):
        SpeakerNet.load(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 a torn archive"])
def test_a_damaged_file_is_named_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pretrained.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"pretrained\.pt: not .*; pip install"):
        SpeakerNet.load(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pretrained.pt"
    torch.save({"model_state": {"linear.weight": torch.zeros(3, 3)}}, path)
    with pytest.raises(CheckpointError, match="not the speaker encoder"):
        SpeakerNet.load(path)


def test_one_persons_recordings_are_more_alike_than_two_peoples() -> None:
    net, voices = SpeakerNet.load(speaker_encoder()), {}
    for name in ("sb_spk1_snt1", "sb_spk1_snt4", "LJ001-0004", "LJ001-0006"):
        pcm, _ = soundfile.read(shared_data("asr", f"{name}.flac"), dtype="float32")
        voices[name] = net.embed([pcm[8000:33_600]])[0]
    same = [
        float(voices["sb_spk1_snt1"] @ voices["sb_spk1_snt4"]),
        float(voices["LJ001-0004"] @ voices["LJ001-0006"]),
    ]
    others = [float(voices[a] @ voices[b]) for a in voices for b in voices if a[:2] != b[:2]]
    assert min(same) > 0.7 > max(others)
