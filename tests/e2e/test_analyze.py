"""A recording in, JSON lines out: what `lmam analyze` promises, on real recordings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import pytest

from streamer.payloads import json_schema
from tests.data import shared_data
from tests.e2e.product import SAMPLE, comparable, lmam, read_log

pytestmark = pytest.mark.timeout(120)

FACES = ("pyfeat_single_face", "pyfeat_WolfgangLanger")
GRID = ("grid_bbaf2n", "grid_pwij3p")


def check_log(path: Path) -> None:
    """Every line validates; finals are ordered and numbered from 1; probabilities sum to 1."""
    schema = json_schema("estimate.v1")
    for line in path.read_text().splitlines():
        jsonschema.validate(json.loads(line), schema)
    finals = read_log(path)
    assert [e.sequence for e in finals] == list(range(1, len(finals) + 1))
    assert [e.start for e in finals] == sorted(e.start for e in finals)
    for e in finals:
        assert e.final
        assert sum(e.emotion.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert e.emotion.label == max(e.emotion.probabilities, key=lambda k: e.emotion.probabilities[k])


async def test_the_sample_gives_its_script_and_twice_the_same(tmp_path: Path) -> None:
    logs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for log in logs:
        ended = await lmam("analyze", str(SAMPLE), "--out", str(log), state=tmp_path)
        assert ended.code == 0, ended.err
        assert ended.out.rstrip().endswith(f"log: {log}")
    check_log(logs[0])
    assert comparable(logs[0]) == comparable(logs[1])
    spoken = [e for e in read_log(logs[0]) if e.modalities.text.present]
    assert len(spoken) >= 10
    assert {e.speaker.label for e in spoken} == {"A", "B"}
    assert any(e.modalities.visual.present for e in spoken)
    assert not all(e.modalities.visual.present for e in spoken)
    assert all(e.valence is not None and e.arousal is not None for e in read_log(logs[0]))
    assert len({e.valence for e in spoken}) == len({e.text for e in spoken})


@pytest.mark.parametrize("name", FACES)
async def test_a_film_with_a_face_says_so(tmp_path: Path, name: str) -> None:
    (media,) = shared_data("talking_faces").glob(f"{name}*")
    log = tmp_path / "log.jsonl"
    ended = await lmam("analyze", str(media), "--out", str(log), state=tmp_path)
    assert ended.code == 0, ended.err
    check_log(log)
    finals = read_log(log)
    assert finals
    assert all(e.modalities.visual.present for e in finals)


async def test_a_film_without_a_face_says_so(tmp_path: Path) -> None:
    (media,) = shared_data("talking_faces").glob("pyfeat_no_face.*")
    log = tmp_path / "log.jsonl"
    ended = await lmam("analyze", str(media), "--out", str(log), state=tmp_path)
    assert ended.code == 0, ended.err
    assert not any(e.modalities.visual.present for e in read_log(log))


async def test_every_speaking_face_is_seen_and_heard(tmp_path: Path) -> None:
    media = sorted(shared_data("talking_faces").glob("grid_*"))[0]
    log = tmp_path / "log.jsonl"
    ended = await lmam("analyze", str(media), "--out", str(log), state=tmp_path)
    assert ended.code == 0, ended.err
    check_log(log)
    finals = read_log(log)
    assert all(e.modalities.visual.present for e in finals)
    assert any(e.text for e in finals)


async def test_speech_without_a_picture_gives_words_and_no_face(tmp_path: Path) -> None:
    folder = shared_data("asr")
    with (folder / "manifest.csv").open(newline="") as file:
        assert "jfk.flac" in {Path(next(iter(row.values()))).name for row in csv.DictReader(file)}
    log = tmp_path / "log.jsonl"
    ended = await lmam("analyze", str(folder / "jfk.flac"), "--out", str(log), state=tmp_path)
    assert ended.code == 0, ended.err
    check_log(log)
    finals = read_log(log)
    assert any(e.text for e in finals)
    assert not any(e.modalities.visual.present for e in finals)
    assert {e.speaker.id for e in finals} == {"s0"}
    assert "pocketsphinx" in finals[0].model.transcriber or "whisper" in finals[0].model.transcriber


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, 1), (b"", 1), (b"this is not a film" * 100, 1)],
    ids=["missing", "empty", "garbage"],
)
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, code: int) -> None:
    media = tmp_path / "film.mp4"
    if content is not None:
        media.write_bytes(content)
    ended = await lmam("analyze", str(media), state=tmp_path)
    assert ended.code == code
    assert "film.mp4" in ended.err
    assert "Traceback" not in ended.err


async def test_a_paced_analysis_replaces_the_log_of_the_one_before(tmp_path: Path) -> None:
    media, log = shared_data("asr", "sb_spk1_snt5.flac"), tmp_path / "log.jsonl"
    options = ("--pace", "10", "--out", str(log), "--set", "transcriber.kind=none")
    for _ in range(2):
        ended = await lmam("analyze", str(media), *options, state=tmp_path)
        assert ended.code == 0, ended.err
    assert [e.sequence for e in read_log(log)] == [1]


async def test_a_named_conversation_goes_on_in_its_log(tmp_path: Path) -> None:
    media, log = shared_data("asr", "sb_spk1_snt5.flac"), tmp_path / "log.jsonl"
    options = ("--out", str(log), "--set", "transcriber.kind=none", "--set", "conversation=talk")
    for _ in range(2):
        ended = await lmam("analyze", str(media), *options, state=tmp_path)
        assert ended.code == 0, ended.err
    first, second = read_log(log)
    assert [first.sequence, second.sequence] == [1, 2]
    assert first.id != second.id
    assert second.start >= first.end


async def test_what_cannot_work_is_said_at_once_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for args in (
        ("--out", str(tmp_path / "file" / "a.jsonl")),
        ("--json", str(tmp_path)),
        ("--set", "transcriber.modl=tiny"),
        ("--set", "sink.0.kind=consle"),
    ):
        ended = await lmam("analyze", str(SAMPLE), *args, state=tmp_path)
        assert ended.code == 2, ended.err
        assert "Traceback" not in ended.err
        assert ended.out == ""


async def test_wrong_usage_exits_2(tmp_path: Path) -> None:
    for args in (("--pace", "slow"), ("--set", "segmenter.max_speach=3"), ("--set", "purpose=fun")):
        ended = await lmam("analyze", str(SAMPLE), *args, state=tmp_path)
        assert ended.code == 2, ended.err
        assert "Traceback" not in ended.err
