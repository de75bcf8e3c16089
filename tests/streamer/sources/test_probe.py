from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.errors import CaptureError
from streamer.sources.probe import MediaInfo, probe
from streamer.types import RATE

from .files import film, picture, tone, with_cover, write_media, write_wav


def test_a_film_tells_its_tracks_rates_and_length(tmp_path: Path) -> None:
    info = probe(film(tmp_path / "a.mkv"))
    assert info.duration == pytest.approx(2.0, abs=0.1)
    assert info == MediaInfo(info.duration, True, True, RATE, 1, 25.0, (64, 48), 0.0, 0.0)


def test_a_recording_without_pictures_and_a_film_without_sound(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", np.zeros((22_050, 2), np.float32), 22_050)
    assert probe(wav) == MediaInfo(1.0, True, False, 22_050, 2)
    silent = write_media(tmp_path / "a.mkv", pictures=[(i / 25, picture(i)) for i in range(25)])
    info = probe(silent)
    assert (info.audio, info.video, info.rate, info.channels, info.skew) == (False, True, 0, 0, 0.0)


def test_the_name_may_hold_signs_that_mean_something_in_addresses(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "http:a?b=1#c%20 &.wav", tone(0.2, RATE), RATE)
    assert probe(path).audio


def test_a_cover_picture_is_not_a_video_track(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.mp3", tone(1.0, 44_100), 44_100)
    info = probe(with_cover(tmp_path / "a.mp3"))
    assert (info.audio, info.video) == (True, False)


def of_unknown_codec(path: Path, *codecs: bytes) -> Path:
    """``path`` (Matroska) as if its tracks of ``codecs`` were of a codec that nobody knows."""
    data = path.read_bytes()
    for codec in codecs:
        assert data.count(codec) == 1
        data = data.replace(codec, codec[:2] + b"Z" * (len(codec) - 2))
    path.write_bytes(data)
    return path


def test_a_track_of_an_unknown_codec_is_told_and_the_other_is_used(tmp_path: Path) -> None:
    info = probe(of_unknown_codec(film(tmp_path / "a.mkv"), b"A_PCM/INT/LIT"))
    assert (info.audio, info.video, info.unreadable) == (False, True, ("audio",))


def test_a_file_of_unknown_codecs_only_says_so(tmp_path: Path) -> None:
    path = of_unknown_codec(film(tmp_path / "a.mkv"), b"A_PCM/INT/LIT", b"V_MPEG4/ISO/ASP")
    with pytest.raises(CaptureError, match="audio of an unknown codec"):
        probe(path)


@pytest.mark.parametrize("content", [b"", b"no sound in here\n" * 50, bytes(range(256)) * 40, b"\0" * 5000])
def test_a_file_that_is_no_media_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "talk.mp4"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"talk\.mp4"):
        probe(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.wav: no such file"):
        probe(tmp_path / "none.wav")
    with pytest.raises(CaptureError, match="is a folder"):
        probe(tmp_path)


def test_an_mp4_that_lost_its_end_cannot_be_read_and_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", audio_codec="aac")
    path.write_bytes(path.read_bytes()[:-2000])  # the index stands at the end
    with pytest.raises(CaptureError, match=r"a\.mp4: .*cut off"):
        probe(path)


def test_a_wav_header_without_sound_has_nothing_to_decode(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.0, RATE), RATE)
    with pytest.raises(CaptureError, match="no sound or picture in it can be decoded"):
        probe(path)
