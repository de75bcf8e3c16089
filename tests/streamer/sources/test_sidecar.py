from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import CaptureError
from streamer.sources.sidecar import Cue, find_sidecar, read_cues
from streamer.types import Span


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_webvtt_cues_with_voices_settings_identifiers_and_hours(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "talk.vtt",
        "WEBVTT - a talk\nKind: captions\n\n"
        "NOTE made by hand\nover two lines\n\nSTYLE\n::cue { color: lime }\n\n"
        "1\n00:01.000 --> 00:02.500 align:start position:10%\n<v Ann>Hello <i>there</i></v>\n\n"
        "01:00:03.250 --> 01:00:04.000\n<v.loud Mary Ann>Tom &amp; I\nsay 1 &lt; 2\n",
    )
    assert read_cues(path) == [
        Cue(Span(1.0, 2.5), "Hello there", "Ann"),
        Cue(Span(3603.25, 3604.0), "Tom & I say 1 < 2", "Mary Ann"),
    ]


def test_two_voices_in_one_cue_become_two_cues(tmp_path: Path) -> None:
    path = write(tmp_path, "a.vtt", "WEBVTT\n\n00:00.000 --> 00:02.000\n<v A>Hi\n<v B>Hello</v>\n")
    assert read_cues(path) == [Cue(Span(0, 2), "Hi", "A"), Cue(Span(0, 2), "Hello", "B")]


def test_words_before_the_first_voice_have_none(tmp_path: Path) -> None:
    path = write(tmp_path, "a.vtt", "WEBVTT\n\n00:00.000 --> 00:02.000\nwell <v B>Hello\n")
    assert [(c.text, c.voice) for c in read_cues(path)] == [("well", None), ("Hello", "B")]


def test_markup_and_inner_time_stamps_are_not_words(tmp_path: Path) -> None:
    text = "WEBVTT\n\n00:00.000 --> 00:02.000\n<c.yellow>one</c> <00:00:01.000>two 3 < 4\n"
    assert read_cues(write(tmp_path, "a.vtt", text))[0].text == "one two 3 < 4"


def test_subrip_with_commas_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    path.write_bytes(
        b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}<b>Guten Tag</b>\r\n\r\n"
        b"2\r\n00:00:03,000 --> 00:00:04,000 X1:1 X2:2\r\nzwei\r\n"
    )
    assert read_cues(path) == [Cue(Span(1, 2), "Guten Tag"), Cue(Span(3, 4), "zwei")]


def test_cues_come_in_time_order_and_empty_ones_not_at_all(tmp_path: Path) -> None:
    text = "WEBVTT\n\n00:05.000 --> 00:06.000\nlate\n\n00:01.000 --> 00:02.000\nearly\n\n"
    text += "00:03.000 --> 00:04.000\n<i></i>\n"
    assert [c.text for c in read_cues(write(tmp_path, "a.vtt", text))] == ["early", "late"]


def test_an_empty_transcript_has_no_cues(tmp_path: Path) -> None:
    assert read_cues(write(tmp_path, "a.vtt", "WEBVTT\n")) == []
    assert read_cues(write(tmp_path, "a.srt", "")) == []


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.vtt", "hello\n", 1),
        ("a.vtt", "", 1),
        ("a.vtt", "\nWEBVTT\n", 1),
        ("a.vtt", "WEBVTT\n\n00:01.000 -> 00:02.000\nwords\n", 3),
        ("a.vtt", "WEBVTT\n\nid\n00:01.000 --> soon\nwords\n", 4),
        ("a.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nwords\n", 3),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nwords\n\nstray words\n", 5),
    ],
)
def test_a_bad_transcript_is_an_error_that_names_file_and_line(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    with pytest.raises(CaptureError, match=rf"{name}: line {line}:"):
        read_cues(write(tmp_path, name, text))


def test_unreadable_transcripts_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\nsch\xf6n\n")
    with pytest.raises(CaptureError, match="save it as UTF-8"):
        read_cues(tmp_path / "a.srt")
    with pytest.raises(CaptureError, match=r"none\.vtt: cannot be read"):
        read_cues(tmp_path / "none.vtt")
    with pytest.raises(CaptureError, match=r"known: \.vtt, \.srt"):
        read_cues(tmp_path / "a.txt")


def test_the_sidecar_has_the_stem_of_the_media_file_and_webvtt_goes_first(tmp_path: Path) -> None:
    media = tmp_path / "a.b.mp4"
    assert find_sidecar(media) is None
    srt = write(tmp_path, "a.b.srt", "")
    assert find_sidecar(media) == srt
    vtt = write(tmp_path, "a.b.vtt", "WEBVTT\n")
    assert find_sidecar(media) == vtt


def test_a_transcript_is_not_its_own_sidecar(tmp_path: Path) -> None:
    assert find_sidecar(write(tmp_path, "a.vtt", "WEBVTT\n")) is None
