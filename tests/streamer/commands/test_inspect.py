"""One page of a recording: whatever the recording is like, and never over something else."""

from __future__ import annotations

import stat
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.commands import inspect
from streamer.conversations import file_conversation_id, reports
from streamer.errors import CaptureError, ConfigError, PublishError, StreamerError
from tests.streamer.inspection.made import Page, check

RATE = 16_000


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAM__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def sound(path: Path, seconds: float, level: float = 0.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        made = np.random.default_rng(0).uniform(-level, level, round(seconds * RATE))
        file.writeframes((made * 32767).astype("<i2").tobytes())
    return path


def film(path: Path, seconds: float) -> Path:
    """Grey pictures without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p"
        grey = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 90, np.uint8), format="bgr24")
        for _ in range(round(seconds * 10)):
            container.mux(stream.encode(grey))
        container.mux(stream.encode())
    return path


def look(
    media: Path, *, out: Path | None = None, force: bool = False, settings: tuple[str, ...] = ()
) -> Page:
    """The page that the command makes of ``media``."""
    path = inspect.run(media, out=out, transcriber="none", purpose="research", settings=settings, force=force)
    return check(path.read_text(encoding="utf-8"))


def test_silence_gives_a_page_that_says_so(tmp_path: Path) -> None:
    page = look(sound(tmp_path / "quiet.wav", 3))
    assert "0:03.0 · sound · 0 utterances · 0 speakers" in page.text
    assert "nobody was heard speaking, and no face was seen" in page.text
    assert (tmp_path / "quiet.inspect.html").exists()


def test_pictures_without_sound_give_a_page_that_says_so(tmp_path: Path) -> None:
    page = look(film(tmp_path / "mute.mkv", 2), out=tmp_path / "new" / "folder" / "a.html")
    assert "no sound track" in page.text
    assert "· pictures · 0 utterances" in page.text


def test_a_file_that_ends_early_gives_a_page_of_what_there_is(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", 6).read_bytes()
    media = tmp_path / "cut.mkv"
    media.write_bytes(whole[: len(whole) // 2])
    page = look(media)
    assert "cut.mkv: ends after" in page.text
    assert "not read" in page.text
    assert str(tmp_path) not in page.text


def test_the_page_is_its_owners_only_and_a_purge_knows_it(tmp_path: Path) -> None:
    media = sound(tmp_path / "a.wav", 1)
    look(media)
    report = tmp_path / "a.inspect.html"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert reports(tmp_path / "state", file_conversation_id(media)) == [report]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.inspect.html", "a.wav", "state"]


def test_a_page_that_is_there_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    media, report = sound(tmp_path / "a.wav", 1), tmp_path / "a.inspect.html"
    report.write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.inspect\.html: is already there; --force replaces it"):
        look(media)
    assert report.read_text() == "mine"
    look(media, force=True)


def test_a_page_that_appeared_during_the_run_is_spared(tmp_path: Path) -> None:
    report = tmp_path / "a.html"
    report.write_text("mine")
    with pytest.raises(PublishError, match="appeared meanwhile"):
        inspect._write(report, b"page", force=False)
    assert report.read_text() == "mine"
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("written", ["talk.wav", "talk.vtt", "link.wav"])
def test_what_is_read_is_never_overwritten_even_by_force(tmp_path: Path, written: str) -> None:
    media = sound(tmp_path / "talk.wav", 1)
    content = media.read_bytes()
    media.with_suffix(".vtt").write_text("WEBVTT\n")
    (tmp_path / "link.wav").symlink_to(media)
    with pytest.raises(ConfigError, match="overwritten"):
        look(media, out=tmp_path / written, force=True)
    assert media.read_bytes() == content


def test_what_is_no_ordinary_file_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no ordinary file"):
        look(sound(tmp_path / "a.wav", 1), out=Path("/dev/null"), force=True)
    with pytest.raises(ConfigError, match="it is a folder"):
        look(tmp_path / "a.wav", out=tmp_path, force=True)


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a film")
    with pytest.raises(CaptureError, match=r"text\.mp4"):
        look(tmp_path / "text.mp4")
    with pytest.raises(StreamerError, match=r"no\.mp4: no such media file"):
        look(tmp_path / "no.mp4")
    assert list(tmp_path.glob("*.html*")) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("purpose=workplace",), "prohibited"),
        (("purpose=fun",), "purpose"),
        (("segmenter.max_speach=3",), "unknown key"),
        (("transcriber.kind=wisper",), "no kind 'wisper'"),
    ],
)
def test_settings_are_checked_as_for_an_analysis(
    tmp_path: Path, settings: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        look(sound(tmp_path / "a.wav", 1), settings=settings)


def test_an_exemption_stands_in_the_head(tmp_path: Path) -> None:
    page = look(sound(tmp_path / "a.wav", 1), settings=("purpose=workplace", "exemption=safety"))
    assert "purpose: workplace, exemption safety" in page.text
