"""Networks of raw sound: an utterance depends on its own sound alone, in any batch and at any level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import CheckpointError
from models.encoders.hub.files import import_torchaudio, import_transformers
from models.encoders.hub.spec import Spec, parse
from models.encoders.hub.voice import LONGEST, RATE, HubVoice, name
from tests.models.encoders.hub import checkpoints
from tests.models.encoders.hub.checkpoints import sound


def spec(folder: Path, options: str = "") -> Spec:
    return parse(f"hf:{folder}?device=cpu{options}", "audio")


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", checkpoints.VOICES)
def test_a_sound_does_not_depend_on_its_batch(family: str, norm: str, tmp_path: Path) -> None:
    """Also where the first layer normalises over time: those go one by one."""
    e = HubVoice(spec(checkpoints.voice(tmp_path, family, norm)))
    sounds = [sound(1.0), sound(0.37, 1), sound(0.05), sound(0.9, 2)]
    together = e.encode(sounds)
    alone = np.concatenate([e.encode([s]) for s in sounds])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (4, e.dim) == (4, 32)
    assert np.isnan(together[2]).all(), "under a tenth of a second"
    assert np.isfinite(together[[0, 1, 3]]).all()
    assert np.abs(together[0] - together[1]).max() > 1e-3
    assert e.encode([]).shape == (0, 32)


def test_features_are_those_of_the_usual_way(tmp_path: Path) -> None:
    """The feature extractor and the model of transformers, and the mean over the frames."""
    transformers = import_transformers()
    folder = checkpoints.voice(tmp_path)
    pcm = sound(0.8)
    x = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)(
        pcm, sampling_rate=RATE, return_tensors="pt"
    )["input_values"]
    with torch.inference_mode():
        out = transformers.AutoModel.from_pretrained(folder)(x, output_hidden_states=True)
    want = out.last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(HubVoice(spec(folder)).encode([pcm])[0], want, atol=1e-4)
    np.testing.assert_allclose(HubVoice(spec(folder)).encode([0.1 * pcm])[0], want, atol=1e-3)
    want = ((out.hidden_states[-1] + out.hidden_states[-2]) / 2)[0].mean(0).numpy()
    np.testing.assert_allclose(HubVoice(spec(folder, "&layers=2")).encode([pcm])[0], want, atol=1e-4)


def test_silence_is_finite_and_what_is_too_long_is_cut(tmp_path: Path) -> None:
    e = HubVoice(spec(checkpoints.voice(tmp_path)))
    assert np.isfinite(e.encode([np.zeros(RATE, dtype=np.float32)])).all()
    long = sound(LONGEST + 1)
    assert np.array_equal(e.encode([long]), e.encode([long[: int(LONGEST * RATE)]]))


def test_other_networks_and_rates_are_refused(tmp_path: Path) -> None:
    folder = checkpoints.voice(tmp_path / "voice")
    about = folder / "preprocessor_config.json"
    about.write_text(json.dumps({"sampling_rate": 8000}))
    with pytest.raises(
        CheckpointError, match="a Wav2Vec2Model at 8000 Hz; expected a network of raw sound at"
    ):
        HubVoice(spec(folder))
    about.unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json: not there"):
        HubVoice(spec(folder))
    with pytest.raises(CheckpointError, match="a ViTModel at None Hz; expected a network of raw sound"):
        HubVoice(spec(checkpoints.face(tmp_path / "face")))


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small pipeline of torchaudio whose file lies where torch keeps fetched ones."""
    pipelines = import_torchaudio().pipelines
    convolutions = [(16, 10, 5), (16, 8, 8), (16, 4, 4)]
    sizes = {
        "extractor_mode": "layer_norm",
        "extractor_conv_layer_config": convolutions,
        "extractor_conv_bias": False,
        "encoder_embed_dim": 24,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 16,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 30,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": True,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    bundle = pipelines.Wav2Vec2Bundle("small.pth", sizes, RATE, True, "Wav2Vec2")
    torch.manual_seed(0)
    net = import_torchaudio().models.wav2vec2_model(**sizes)
    (tmp_path / "checkpoints").mkdir()
    torch.save(net.state_dict(), tmp_path / "checkpoints" / "small.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(pipelines, "SMALL", bundle, raising=False)
    return bundle


def test_a_pipeline_of_torchaudio_is_named(pipeline: Any, tmp_path: Path) -> None:
    e = HubVoice(parse("torchaudio:SMALL?device=cpu", "audio"))
    sounds = [sound(0.5), sound(0.7, 1)]
    with torch.inference_mode():
        net = pipeline.get_model()
        want = [net.extract_features(torch.from_numpy(s)[None])[0][-1][0].mean(0).numpy() for s in sounds]
    np.testing.assert_allclose(e.encode(sounds), want, atol=1e-5)
    assert e.dim == 24


def test_a_pipeline_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name; and a file that is neither in torch's folder nor to be fetched (a closed port)."""
    with pytest.raises(
        CheckpointError, match=r"torchaudio has no such pipeline; it has HUBERT_ASR_LARGE, .*WAVLM"
    ):
        HubVoice(parse("torchaudio:WAVLM", "audio"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    bundle = import_torchaudio().pipelines.WAV2VEC2_BASE
    monkeypatch.setattr(bundle, "_path", "https://127.0.0.1:9/base.pth")
    monkeypatch.setattr(bundle, "_params", {**bundle._params, "encoder_num_layers": 1})
    with pytest.raises(CheckpointError, match=r"checkpoints/base\.pth cannot be used and was not fetched"):
        HubVoice(parse("torchaudio:WAV2VEC2_BASE", "audio"))


def test_names_tell_files_and_pipelines_apart(tmp_path: Path) -> None:
    one, two = (checkpoints.voice(tmp_path / f, f) for f in ("wav2vec2", "wavlm"))
    bases = [
        name(parse(f"torchaudio:{n}", "audio")) for n in ("WAVLM_BASE", "WAVLM_BASE?layers=2", "HUBERT_BASE")
    ]
    found = {name(spec(one)), name(spec(two)), name(spec(one, "&layers=2")), *bases}
    assert len(found) == 6
    assert name(spec(one)) == name(spec(one, "&batch=3"))
