"""Words come from the transcript beside the file, each of them once and with its speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import CaptureError, ConfigError
from streamer.sources.sidecar import Cue
from streamer.stage import run_inline
from streamer.transcribers.sidecar import Config, Sidecar
from streamer.types import Span, Speaker, Utterance

from .talk import context, said, texts, unheard


def cue(start: float, end: float, text: str, voice: str | None = None) -> Cue:
    return Cue(Span(start, end), text, voice)


def stage(*cues: Cue) -> Sidecar:
    return Sidecar(cues, "sidecar talk.vtt")


def alone(utterance: Utterance) -> Utterance:
    """``utterance`` of a channel that is one speaker's own."""
    assert utterance.segment is not None
    return replace(utterance, speaker=Speaker(f"s{utterance.segment.audio.channel}", confidence=1.0))


def test_each_segment_gets_the_words_said_in_it() -> None:
    got = run_inline(
        stage(cue(0, 2, "one two three four"), cue(3, 5, "five six seven eight")),
        [said(0.1, 1.9), said(3.2, 5.1)],
    )
    assert texts(got) == ["one two three four", "five six seven eight"]
    assert got[0].transcript is not None
    assert got[0].transcript.confidence == 1.0
    assert got[0].transcript.model == "sidecar talk.vtt"


def test_a_cue_that_a_segment_only_touches_waits_for_its_own() -> None:
    got = run_inline(
        stage(cue(0, 2.9, "one two three four five"), cue(3, 5, "six seven eight nine")),
        [said(0.1, 3.3), said(3.4, 5.1)],
    )
    assert texts(got) == ["one two three four five", "six seven eight nine"]


def test_no_cue_is_given_twice() -> None:
    got = run_inline(stage(cue(0, 4, "a b c d e f g h")), [said(0, 2.2), said(2.4, 4)])
    assert texts(got) == ["a b c d e f g h", None]


def test_a_short_first_word_does_not_take_the_whole_sentence() -> None:
    got = run_inline(stage(cue(0, 4, "well I did not expect that today")), [said(0, 0.5), said(1, 4)])
    assert texts(got) == [None, "well I did not expect that today"]


def test_words_that_stay_on_screen_still_belong_to_the_speech() -> None:
    got = run_inline(stage(cue(1, 9, "yes indeed")), [said(0.9, 1.9), said(5, 9)])
    assert texts(got) == ["yes indeed", None]


def test_cues_of_one_voice_in_one_segment_are_joined() -> None:
    got = run_inline(stage(cue(0, 2, "one two", "Ann"), cue(2, 4, "three four", "Ann")), [said(0, 4)])
    assert texts(got) == ["one two three four"]


def test_of_two_voices_in_one_segment_the_longer_one_speaks_and_no_line_is_lost() -> None:
    got = run_inline(stage(cue(0, 1, "oh no", "Ann"), cue(1, 4, "yes it is so", "Bob")), [said(0, 4)])
    assert texts(got) == ["oh no yes it is so"]
    assert got[0].speaker == Speaker("s1", "Bob", 1.0)


def test_a_voice_that_cuts_in_has_its_words_in_the_utterance_that_it_cuts_into() -> None:
    got = run_inline(
        stage(cue(0, 4, "I was going to say that", "Ann"), cue(2, 2.8, "no way", "Bob")),
        [said(0, 4.1), said(6, 7)],
    )
    assert texts(got) == ["I was going to say that no way", None]
    assert got[0].speaker.label == "Ann"


def test_with_a_channel_for_each_speaker_every_cue_goes_to_its_own() -> None:
    """Bob begins before Ann has ended, so that his cue lies by half in her segment, too."""
    got = run_inline(
        stage(
            cue(0, 2, "one two three four", "Ann"),
            cue(3, 5, "five six seven eight", "Bob"),
            cue(6, 9, "ten eleven twelve thirteen fourteen", "Ann"),
            cue(6.5, 10, "no that is not at all so", "Bob"),
        ),
        [
            alone(said(0, 2)),
            alone(said(3, 5, channel=1)),
            alone(said(6.5, 8.9)),  # all of it is within Bob's cue
            alone(said(6.4, 10, channel=1)),
        ],
    )
    assert texts(got) == [
        "one two three four",
        "five six seven eight",
        "ten eleven twelve thirteen fourteen",
        "no that is not at all so",
    ]
    assert [u.speaker.label for u in got] == ["Ann", "Bob", "Ann", "Bob"]


def test_a_voice_heard_first_by_the_other_microphone_finds_its_way_home() -> None:
    """A cough of the other channel is taken for the beginning of Ann's first line."""
    got = run_inline(
        stage(
            cue(0, 1, "ah well", "Ann"),
            cue(2, 5, "this is what I think", "Ann"),
            cue(6, 9, "and this is more", "Ann"),
        ),
        [alone(said(0, 0.9, channel=1)), alone(said(2, 5)), alone(said(6, 9))],
    )
    assert texts(got) == ["ah well", "this is what I think", "and this is more"]


def test_a_cue_with_a_pause_in_the_middle_goes_to_the_last_segment_that_can_have_it() -> None:
    got = run_inline(stage(cue(0, 5, "a b c d e f g h i j")), [said(0, 1.2), said(3.2, 8.5), said(9, 10)])
    assert texts(got) == [None, "a b c d e f g h i j", None]


def test_speakers_are_numbered_by_their_first_appearance() -> None:
    got = run_inline(
        stage(cue(0, 1, "hello", "Zoe"), cue(2, 3, "hi", "Ann"), cue(4, 5, "bye", "Zoe")),
        [said(0, 1), said(2, 3), said(4, 5)],
    )
    assert [(u.speaker.id, u.speaker.label) for u in got] == [("s0", "Zoe"), ("s1", "Ann"), ("s0", "Zoe")]


def test_speech_outside_the_cues_is_nobodys_where_voices_are_named() -> None:
    got = run_inline(stage(cue(0, 1, "hello", "Zoe")), [said(5, 6)])
    assert got[0].speaker.id == "unknown"
    assert got[0].transcript is None


def test_without_voices_the_speaker_stays_as_it_was() -> None:
    got = run_inline(stage(cue(0, 1, "hello")), [said(0, 1)])
    assert got[0].speaker == Speaker("s0")


def test_partials_show_the_words_said_so_far_and_take_no_cue() -> None:
    got = run_inline(
        stage(cue(0, 2, "one two three four", "Ann")),
        [said(0, 0.5, final=False), said(0, 1.5, final=False, revision=1), said(0, 2, revision=2)],
    )
    assert texts(got) == ["one", "one two three", "one two three four"]
    assert {u.speaker.id for u in got} == {"s0"}


def test_a_partial_after_its_final_is_ignored() -> None:
    got = run_inline(stage(cue(0, 2, "one two")), [said(0, 2), said(0, 1, final=False)])
    assert texts(got) == ["one two"]


def test_faces_seen_in_silence_pass_untouched() -> None:
    silent = unheard(0, 2)
    assert run_inline(stage(cue(0, 2, "off screen", "Ann")), [silent]) == [silent]


def test_voices_of_one_cue_speak_one_after_another() -> None:
    got = run_inline(
        stage(cue(0, 4, "where were you", "Ann"), cue(0, 4, "at home", "Bob")), [said(0, 2.3), said(2.5, 4)]
    )
    assert [(u.speaker.label, t) for u, t in zip(got, texts(got), strict=True)] == [
        ("Ann", "where were you"),
        ("Bob", "at home"),
    ]


def test_a_vtt_file_is_read_from_its_path_or_from_beside_the_media(tmp_path: Path) -> None:
    vtt = tmp_path / "talk.vtt"
    vtt.write_text("WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann>Hello you\n")
    for config in (Config(path=vtt, language="en"), Config(media=tmp_path / "talk.wav", language="en")):
        made = config.build(context())
        (got,) = run_inline(made, [said(0, 1)])
        assert made.name == "sidecar talk.vtt"
        assert texts([got]) == ["Hello you"]
        assert got.transcript is not None
        assert got.transcript.language == "en"


def test_no_transcript_beside_the_media_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.vtt or \.srt file beside .*talk\.wav"):
        Config(media=tmp_path / "talk.wav").build(context())


def test_a_damaged_transcript_is_named(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text("no transcript")
    with pytest.raises(CaptureError, match=r"talk\.vtt: line 1"):
        Config(path=tmp_path / "talk.vtt").build(context())


@given(
    cues=st.lists(st.tuples(st.floats(0, 20), st.floats(0.2, 5), st.integers(1, 8)), max_size=6),
    cuts=st.lists(st.floats(0.1, 25), min_size=2, max_size=12, unique=True),
)
def test_every_word_is_given_at_most_once(cues: list[tuple[float, float, int]], cuts: list[float]) -> None:
    words = iter(range(1000))
    made = [cue(s, s + d, " ".join(str(next(words)) for _ in range(n))) for s, d, n in cues]
    edges = sorted(cuts)
    spoken = [said(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if b - a > 0.01]
    given_out = " ".join(t for t in texts(run_inline(stage(*made), spoken)) if t).split()
    assert len(given_out) == len(set(given_out))
