"""`lmam data extract`: MELD.Raw to features, by the live encoders, going on where it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.data.extracted import described, read, shard
from models.encoders.hub.spec import parse
from models.encoders.hub.text import HubText
from models.encoders.hub.voice import HubVoice
from models.encoders.prosody import USED_MEASURES, ProsodyAccumulator
from models.encoders.text import TextEncoder
from streamer.cli import app
from streamer.commands import extract
from streamer.errors import ConfigError
from streamer.sources.decode import Options, Reader, probe
from streamer.types import AudioChunk
from tests.data import shared_data
from tests.models.data.test_meld_raw import raw
from tests.models.encoders.hub import checkpoints
from tests.streamer.sources.files import film, tone, write_wav


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two conversations of two utterances: a tone with pictures twice, a damaged clip, and one missing."""
    out = raw(tmp_path / "MELD.Raw")
    for name in ("dia0_utt0", "dia0_utt1"):
        film(out / "train_splits" / f"{name}.mp4", 1.0, audio_codec="aac")
    (out / "train_splits" / "dia4_utt0.mp4").write_bytes(b"\x00" * 500)
    return out


def test_every_utterance_has_features_or_is_said_to_lack_them(folder: Path, tmp_path: Path) -> None:
    """Words as the shipped encoder reads them, the voice as measured live, no face where none is shown."""
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["data", "extract", str(folder), "--out", str(out), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    corpus = read(out)
    first, second = corpus.splits["train"]
    assert corpus.sizes() == {"text": 384, "audio": len(USED_MEASURES), "visual": 64}
    assert corpus.measures["audio"] == USED_MEASURES
    (want,) = TextEncoder.load().conversations([(first.texts, (0, 1))])
    np.testing.assert_allclose(first.features["text"], want, atol=1e-4)
    assert np.isfinite(second.features["text"]).all()
    clip = folder / "train_splits" / "dia0_utt1.mp4"
    meter = ProsodyAccumulator()
    reader = Reader(clip, probe(clip), Options())
    for item in reader.take(10_000):
        if isinstance(item, AudioChunk):
            meter.push(item.pcm)
    reader.close()
    np.testing.assert_allclose(first.features["audio"][1], meter.measures().values(), rtol=1e-5)
    assert first.features["audio"][1][USED_MEASURES.index("avg_pitch")] == pytest.approx(440, abs=5)
    assert np.isnan(second.features["audio"]).all()
    assert np.isnan(first.features["visual"]).all()
    problems = (out / extract.PROBLEMS).read_text()
    assert "dia4_utt0.mp4" in problems
    assert "train_dia4_utt1: no clip" in problems
    assert problems.count("\n") == 2
    assert "2 clips are missing or damaged" in done.output


def test_what_is_there_is_not_made_again(folder: Path, tmp_path: Path) -> None:
    """A second run makes only what is missing or damaged."""
    out = tmp_path / "out"
    extract.run(folder, out, 1)
    kept, lost = shard(out, "train", "train_dia0"), shard(out, "train", "train_dia4")
    before = kept.stat().st_mtime_ns
    lost.write_bytes(lost.read_bytes()[:50])
    extract.run(folder, out, 1)
    assert kept.stat().st_mtime_ns == before
    assert len(read(out).splits["train"]) == 2


@pytest.mark.timeout(120)  # two processes load torch
def test_several_processes_make_the_same(folder: Path, tmp_path: Path) -> None:
    extract.run(folder, tmp_path / "one", 1)
    extract.run(folder, tmp_path / "two", 2)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    for a, b in zip(one.splits["train"], two.splits["train"], strict=True):
        for name, rows in a.features.items():
            np.testing.assert_allclose(rows, b.features[name], atol=1e-5)


def test_a_face_is_read_where_one_is_shown(tmp_path: Path) -> None:
    """A talking head in the place of a clip."""
    clip = shared_data("talking_faces", "grid_bbaf2n.mpg")
    out = raw(tmp_path / "MELD.Raw")
    for name in ("dia0_utt0", "dia0_utt1", "dia4_utt0"):
        shutil.copy(clip, out / "train_splits" / f"{name}.mp4")
    extract.run(out, tmp_path / "out", 1)
    c = read(tmp_path / "out").splits["train"][0]
    assert np.isfinite(c.features["visual"]).all()
    assert np.isfinite(c.features["audio"]).all()


def test_big_encoders_may_be_named(tmp_path: Path) -> None:
    """Words, sound and faces of a talking head through small networks; what the folder holds is of these."""
    clip = shared_data("talking_faces", "grid_bbaf2n.mpg")
    raw_ = raw(tmp_path / "MELD.Raw")
    for name in ("dia0_utt0", "dia4_utt0"):
        shutil.copy(clip, raw_ / "train_splits" / f"{name}.mp4")
    (raw_ / "train_splits" / "dia0_utt1.mp4").write_bytes(b"")
    text, voice = checkpoints.text(tmp_path / "roberta"), checkpoints.voice(tmp_path / "wavlm", "wavlm")
    names = {"text": f"hf:{text}", "voice": f"hf:{voice}", "face": f"hf:{checkpoints.face(tmp_path / 'vit')}"}
    options = [part for key, name in names.items() for part in (f"--{key}", f"{name}?device=cpu")]
    out = tmp_path / "out"
    arguments = ["data", "extract", str(raw_), "--out", str(out), "--jobs", "1", *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    corpus = read(out)
    assert corpus.sizes() == {"text": 32, "audio": 32, "visual": 32}
    assert not corpus.measures, "features of a network are no measures"
    c = corpus.splits["train"][0]
    want = HubText(parse(names["text"], "text")).encode(c.texts, c.order_of_appearance()).numpy()
    np.testing.assert_allclose(c.features["text"], want, atol=1e-5)
    reader = Reader(clip, probe(clip), Options())
    pcm = [i.pcm for i in reader.take(10_000) if isinstance(i, AudioChunk)]
    reader.close()
    want = HubVoice(parse(names["voice"], "audio")).encode([np.concatenate(pcm)])
    np.testing.assert_allclose(c.features["audio"][:1], want, atol=1e-4)
    assert np.isfinite(c.features["visual"][0]).all()
    assert np.isnan(c.features["visual"][1]).all()
    assert np.isnan(c.features["audio"][1]).all()
    made_with = (described(out) or {})["settings"]
    assert [made_with[key].partition(" ")[0] for key in names] == ["roberta", "wavlm", "vit"]
    assert "features by wavlm, its publisher's" in corpus.licence
    with pytest.raises(ConfigError, match="holds features made with another measures; name another"):
        extract.run(raw_, out, 1, text=names["text"], face=names["face"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            {"voice": "wavlm"},
            "'wavlm' names no encoder of modality audio; expected hf:NAME or torch",
        ),
        ({"face": "hf:./nowhere"}, r"hf:\./nowhere: nowhere is no directory; expected one with"),
        ({"voice": "torchaudio:NONE"}, "torchaudio has no such pipeline"),
    ],
)
def test_big_encoders_that_are_none_are_named(
    names: dict[str, str], said: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        extract.run(folder, tmp_path / "out", 1, **names)
    assert not (tmp_path / "out").exists()


def test_a_clip_without_pictures_has_a_voice_only(folder: Path, tmp_path: Path) -> None:
    clip = folder / "train_splits" / "dia4_utt0.mp4"
    write_wav(tmp_path / "x.wav", tone(1.0, 16_000), 16_000)
    shutil.move(tmp_path / "x.wav", clip)
    extract.run(folder, tmp_path / "out", 1)
    c = read(tmp_path / "out").splits["train"][1]
    assert np.isfinite(c.features["audio"][0]).any()
    assert np.isnan(c.features["visual"]).all()


def test_wrong_folders_are_named(folder: Path, tmp_path: Path) -> None:
    """No labels, labels without any clip, a folder of something else, features made otherwise."""
    with pytest.raises(ConfigError, match=r"no label file; expected MELD\.Raw"):
        extract.run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"MELD\.Raw: is not empty and not a folder of extracted features"):
        extract.run(folder, folder)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        extract.run(folder, file)
    extract.run(folder, tmp_path / "out", 1)
    manifest = tmp_path / "out" / "corpus.json"
    text = (described(tmp_path / "out") or {})["settings"]["text"]
    manifest.write_text(manifest.read_text().replace(text, "0" * 16))
    with pytest.raises(ConfigError, match="holds features made with another text; name another folder"):
        extract.run(folder, tmp_path / "out", 1)
    for clip in (folder / "train_splits").iterdir():
        clip.unlink()
    with pytest.raises(ConfigError, match="labels of train, but none of its clips"):
        extract.run(folder, tmp_path / "new", 1)
