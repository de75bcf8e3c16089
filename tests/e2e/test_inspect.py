"""A recording in, a page out: what `lmam inspect` promises, on the sample and on real recordings."""

from __future__ import annotations

import asyncio
import html
import re
import signal
from pathlib import Path

import pytest

from tests.data import shared_data
from tests.e2e.product import SAMPLE, end, lmam, read_log, start
from tests.streamer.inspection.made import check

pytestmark = pytest.mark.timeout(120)


async def test_the_page_tells_what_an_analysis_does_is_the_same_twice_and_goes_with_a_purge(
    tmp_path: Path,
) -> None:
    log, page = tmp_path / "log.jsonl", tmp_path / "page.html"
    ended = await lmam("analyze", str(SAMPLE), "--out", str(log), state=tmp_path)
    assert ended.code == 0, ended.err
    ended = await lmam("inspect", str(SAMPLE), "--out", str(page), state=tmp_path)
    assert ended.code == 0, ended.err
    assert f"report: {page}" in ended.out.splitlines()[-1]
    content = page.read_text(encoding="utf-8")
    read, rows = check(content), dict(re.findall(r'<tr id="u(\d+)">(.*?)</tr>', content))
    finals = read_log(log)
    assert [str(e.sequence) for e in finals] == list(rows)
    for e in finals:
        row = rows[str(e.sequence)]
        assert e.text is None or html.escape(e.text) in row
        assert f"{e.emotion.label} {round(100 * e.emotion.confidence)}\u00a0%</b>" in row
        for name in ("text", "audio", "visual"):
            modality = getattr(e.modalities, name)
            assert not modality.present or f"weight {round(100 * modality.weight)}\u00a0%" in row
        present = [e.modalities.text, e.modalities.audio, e.modalities.visual]
        assert row.count("absent</td>") == sum(not m.present for m in present)
        assert bool(e.modalities.visual.present) == ('class="face"' in row)
    assert len(read.all("section", "strip")) == 2
    assert len(content) < 400_000

    refused = await lmam("inspect", str(SAMPLE), "--out", str(page), state=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "--force" in refused.err
    again = await lmam("inspect", str(SAMPLE), "--out", str(page), "--force", state=tmp_path)
    assert again.code == 0, again.err
    assert page.read_text(encoding="utf-8") == content

    purged = await lmam("purge", finals[0].conversation, state=tmp_path, LMAM__STATE_DIR=str(tmp_path))
    assert purged.code == 0, purged.err
    assert not page.exists()
    assert not log.exists()


async def test_a_film_with_a_face_and_no_speech_shows_the_face(tmp_path: Path) -> None:
    (media,) = shared_data("talking_faces").glob("pyfeat_single_face*")
    page = tmp_path / "page.html"
    ended = await lmam("inspect", str(media), "--out", str(page), "--transcriber", "none", state=tmp_path)
    assert ended.code == 0, ended.err
    read = check(page.read_text(encoding="utf-8"))
    assert read.all("svg", "face")
    assert read.all("i", "view")
    assert "no recogniser: words were switched off" in read.text


async def test_two_channels_are_two_lanes(tmp_path: Path) -> None:
    media, page = shared_data("asr", "two_speakers_stereo.flac"), tmp_path / "page.html"
    options = ("--transcriber", "none", "--set", "source.0.channels=split")
    ended = await lmam("inspect", str(media), "--out", str(page), *options, state=tmp_path)
    assert ended.code == 0, ended.err
    read = check(page.read_text(encoding="utf-8"))
    assert len(read.all("div", "course")) == 2
    assert "2 utterances · 2 speakers" in read.text
    assert not read.all("svg", "face")


async def test_stopped_early_it_writes_what_it_has_and_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    options = ("--out", str(page), "--set", "source.0.pace=1.0", "--set", "sink.0.plain=true")
    process = await start("inspect", str(SAMPLE), *options, state=tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Good morning" not in await process.stdout.readline():
            assert process.returncode is None
    process.send_signal(signal.SIGINT)
    ended = await end(process)
    assert ended.code == 0, ended.err
    read = check(page.read_text(encoding="utf-8"))
    assert "the rest was not read" in read.text
    assert "Good morning" in read.text
    assert "not read" in read.text


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ((str(Path(__file__)),), 1, "test_inspect.py"),
        ((str(SAMPLE), "--transcriber", "wisper"), 2, "no kind 'wisper'; known: auto"),
        ((), 2, "MEDIA"),
    ],
)
async def test_wrong_usage_is_said_without_a_traceback(
    tmp_path: Path, args: tuple[str, ...], code: int, says: str
) -> None:
    ended = await lmam("inspect", *args, state=tmp_path)
    assert ended.code == code, ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
