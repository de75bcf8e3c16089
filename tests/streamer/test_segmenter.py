"""Speech is cut into utterances: as functions of lists, with speech written as a string."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer.context import Context, Session
from streamer.segmenter import BLOCK, LOST, Config, Segmenter
from streamer.stage import run_inline
from streamer.types import RATE, AudioChunk, Cut, Floats, Progress, Segment
from streamer.vad import silero
from tests.data import shared_data
from tests.fakes import loudness, speech_script

CHAR = 0.256  # seconds of one character of a script
QUIET = Config(partial_every=None)


@dataclass
class Meter:
    """Keeps what it was fed."""

    parts: list[Floats] = field(default_factory=list)

    def push(self, pcm: Floats) -> None:
        self.parts.append(pcm)

    def measures(self) -> Floats:
        return np.concatenate(self.parts)


def segmenter(config: Config | None = None, channels: int = 1) -> Segmenter:
    return Segmenter(lambda: loudness, config, Meter, channels)  # type: ignore[arg-type, type-abstract]


def run(items: Iterable[AudioChunk | Cut], config: Config = QUIET, channels: int = 1) -> list[Segment]:
    out = run_inline(segmenter(config, channels), items)
    return [s for s in out if isinstance(s, Segment)]


def noise(script: str, seconds_per_char: float = CHAR, level: float = 0.3) -> Floats:
    """Noise as speech: every sample differs, so that a lost or doubled one shows."""
    rng = np.random.default_rng(0)
    per = round(seconds_per_char * RATE / BLOCK) * BLOCK
    parts = [
        rng.uniform(0.5, 1, per) * rng.choice([-1, 1], per) * (level if char == "#" else 0.001)
        for char in script
    ]
    return np.concatenate(parts).astype(np.float32)


def chunks(pcm: Floats, size: int, start: float = 0.0, channel: int = 0) -> list[AudioChunk]:
    return [AudioChunk(pcm[i : i + size], start + i / RATE, channel) for i in range(0, len(pcm), size)]


def facts(item: Segment | Progress) -> tuple[object, ...]:
    if isinstance(item, Progress):
        return item.track, item.time, item.quiet
    voice = None if item.voice is None else bytes(item.voice)  # type: ignore[call-overload]
    return (item.span, item.audio.pcm.tobytes(), item.final, item.revision, item.noticed, item.quality, voice)


def test_each_stretch_of_speech_is_a_segment() -> None:
    assert len(run(speech_script("..####...#####....###..."))) == 3


def test_a_segment_begins_with_the_pre_roll_to_the_sample() -> None:
    (segment,) = run(speech_script("..####..."), Config(pre_roll=0.21, partial_every=None))
    assert segment.span.start == pytest.approx(2 * CHAR - 0.21, abs=0.5 / RATE)


def test_a_segment_ends_where_speech_ended_not_where_the_end_was_noticed() -> None:
    (segment,) = run(speech_script("..####...."))
    assert segment.span.end == pytest.approx(6 * CHAR + QUIET.post_roll, abs=1 / RATE)
    assert segment.noticed > segment.span.end


def test_a_click_is_no_utterance() -> None:
    click = chunks(noise("....#....", seconds_per_char=0.2), 512)
    assert run(click, Config(min_speech=0.25, partial_every=0.1)) == []


def test_what_a_click_left_may_begin_the_next_utterance_but_is_never_given_twice() -> None:
    pcm = noise("..#...####...", seconds_per_char=0.2)
    (segment,) = run(chunks(pcm, 512))
    at = round(segment.span.start * RATE)
    assert np.array_equal(segment.audio.pcm, pcm[at : at + len(segment.audio.pcm)])


def test_a_short_pause_does_not_end_an_utterance() -> None:
    pcm = np.concatenate([noise("####"), noise("#", 0.2) * 0.001, noise("####....")])
    assert len(run(chunks(pcm, 512))) == 1


def test_a_short_utterance_is_given_the_longest_silence() -> None:
    (segment,) = run(speech_script("..##....", 0.192))
    assert segment.noticed - (4 * 0.192) == pytest.approx(QUIET.max_silence, abs=0.032)


def test_a_long_utterance_whose_voice_falls_ends_sooner() -> None:
    falling = np.concatenate([noise("#" * 16, level=0.6), noise("##", level=0.14), noise("....")])
    steady = noise("#" * 18 + "....")
    (fell,), (held,) = run(chunks(falling, 512)), run(chunks(steady, 512))
    ended = 18 * CHAR
    assert fell.noticed - ended == pytest.approx(QUIET.min_silence, abs=0.032)
    assert held.noticed - ended == pytest.approx(QUIET.max_silence, abs=0.032)


def test_partials_come_with_new_speech_and_the_final_has_the_next_number() -> None:
    got = run(speech_script(".#######...."), Config(partial_every=0.5))
    assert [s.revision for s in got] == list(range(len(got)))
    assert [s.final for s in got] == [False] * (len(got) - 1) + [True]
    assert len(got) == 1 + int(7 * CHAR / 0.512)
    assert len({s.span.start for s in got}) == 1


def test_silence_inside_an_utterance_brings_no_partial() -> None:
    pcm = np.concatenate([noise("###"), noise("#", 0.4) * 0.001, noise("#....")])
    got = run(chunks(pcm, 512), Config(partial_every=0.25))
    assert all(abs(s.span.end - 0.75) > 0.2 or s.span.end <= 0.8 for s in got if not s.final)


def test_partials_can_be_turned_off_in_toml() -> None:
    assert Config.model_validate({"partial_every": False}).partial_every is None


def test_too_long_speech_is_split_at_its_quietest_point_and_no_sample_is_lost_or_doubled() -> None:
    pcm = noise("#" * 30 + "....")
    quiet = slice(round(4.0 * RATE), round(4.2 * RATE))
    pcm[quiet] *= 0.45  # softer, but speech to the detector
    got = run(chunks(pcm, 700), Config(max_speech=5, split_within=2, partial_every=None))
    assert 4.0 < got[0].span.end < 4.2
    assert [a.span.end for a in got[:-1]] == [b.span.start for b in got[1:]]
    whole = np.concatenate([s.audio.pcm for s in got])
    assert np.array_equal(whole, pcm[: len(whole)])
    assert len(whole) / RATE == pytest.approx(30 * CHAR + QUIET.post_roll, abs=1 / RATE)


def test_no_segment_is_longer_than_the_maximum() -> None:
    got = run(chunks(noise("#" * 100), 1600), Config(max_speech=5, split_within=2))
    assert max(s.span.duration for s in got) <= 5 + BLOCK / RATE
    assert max(s.span.duration for s in got if s.final) <= 5


def test_the_rest_of_a_split_utterance_counts_its_partials_anew() -> None:
    got = run(chunks(noise("#" * 30 + "...."), 512), Config(max_speech=5, split_within=2))
    firsts = [i for i, s in enumerate(got) if s.revision == 0]
    assert len(firsts) == 2
    assert [s.revision for s in got[firsts[1] :]] == list(range(len(got) - firsts[1]))


def test_a_speaker_who_stops_just_before_the_maximum_is_not_split() -> None:
    got = run(
        chunks(noise("#" * 18 + "." * 4), 512),
        Config(max_speech=5, split_within=2, min_silence=1, max_silence=1, partial_every=None),
    )
    assert [s.span.end for s in got] == [pytest.approx(18 * CHAR + 0.1, abs=1 / RATE)]


def test_lost_sound_ends_the_utterance_and_nothing_is_spliced() -> None:
    pcm = noise("#" * 12)
    cut = 20 * BLOCK
    parts = [*chunks(pcm[:cut], 512), *chunks(pcm[cut + 4096 :], 512, (cut + 4096) / RATE)]
    first, second = run(parts)
    assert first.span.end == pytest.approx(cut / RATE)
    assert second.span.start == pytest.approx((cut + 4096) / RATE)
    assert np.array_equal(second.audio.pcm, pcm[cut + 4096 :])


def test_rounded_times_are_no_gap_and_do_not_move_the_samples() -> None:
    pcm = noise("..######....")
    jittered = [replace(c, start=round(c.start, 3)) for c in chunks(pcm, 800)]
    (segment,), (exact,) = run(jittered), run(chunks(pcm, 800))
    assert segment.span == exact.span


def test_a_cut_ends_what_is_being_heard() -> None:
    sound = chunks(noise("#" * 8), 512)
    first, second = run([*sound[:30], Cut(30 * 512 / RATE), *sound[30:]])
    assert first.span.end == second.span.start == pytest.approx(30 * 512 / RATE)


def test_a_cut_of_one_channel_ends_what_is_heard_there_only() -> None:
    left, right = chunks(noise("#" * 8), 512), chunks(noise("#" * 8), 512, channel=1)
    both = [chunk for pair in zip(left, right, strict=True) for chunk in pair]
    out = run([*both[:60], Cut(30 * 512 / RATE, 1), *both[60:]], channels=2)
    assert [s.audio.channel for s in out] == [1, 0, 1]
    assert out[0].span.end == pytest.approx(30 * 512 / RATE)


def test_after_a_cut_nobody_waits_for_sound_up_to_its_time() -> None:
    s = segmenter(QUIET)
    heard = [out for chunk in chunks(noise("..####"), 512) for out in s.push(chunk)]
    (segment, progress) = s.push(Cut(9.0, 0))
    assert isinstance(segment, Segment)
    assert not any(isinstance(item, Segment) for item in heard)
    assert progress == Progress("audio", 9.0, 9.0)
    assert list(segmenter(QUIET).push(Cut(9.0))) == [Progress("audio", 9.0, 9.0)]  # none came at all


def test_a_cut_in_silence_brings_nothing_and_forgets_the_pre_roll() -> None:
    sound = chunks(noise("...####..."), 512)
    (segment,) = run([*sound[:24], Cut(0.7), *sound[24:]])
    assert segment.span.start == pytest.approx(24 * 512 / RATE)


def test_the_detector_starts_afresh_after_a_gap() -> None:
    made: list[int] = []

    def vad() -> object:
        made.append(1)
        return loudness

    s = Segmenter(vad, QUIET)  # type: ignore[arg-type]
    run_inline(s, [*chunks(noise("##"), 512), *chunks(noise("##"), 512, start=9.0)])
    before = len(made)
    run_inline(s, [Cut(10.0)])
    assert before >= 3
    assert len(made) > before


def test_the_end_of_the_stream_finishes_what_is_held_to_the_last_sample() -> None:
    pcm = noise("..###")[:-100]
    (segment,) = run(chunks(pcm, 512))
    assert segment.span.end == pytest.approx(len(pcm) / RATE)


def test_after_the_end_all_progress_is_infinite() -> None:
    *_, last = run_inline(segmenter(), speech_script("..##.."))
    assert last == Progress("audio", math.inf, math.inf)


def test_no_segment_begins_before_the_promised_quiet() -> None:
    promised = -math.inf
    for item in run_inline(
        segmenter(Config(max_speech=5, split_within=2)), chunks(noise("..#..####..##" + "#" * 40), 512)
    ):
        if isinstance(item, Segment):
            assert item.span.start >= promised - 1e-9
        else:
            assert item.quiet >= promised
            assert item.quiet <= item.time
            promised = item.quiet


def test_quiet_keeps_up_with_silence_and_stands_still_while_someone_speaks() -> None:
    items = run_inline(segmenter(QUIET), speech_script("....####"))
    progress = [p for p in items if isinstance(p, Progress)][:-1]
    silent = [p for p in progress if 0.3 < p.time <= 4 * CHAR]
    assert all(p.time - p.quiet == pytest.approx(QUIET.pre_roll, abs=1 / RATE) for p in silent)
    assert len({p.quiet for p in progress if p.time > 4 * CHAR}) == 1


def test_channels_are_heard_apart() -> None:
    left, right = noise("..####....."), noise(".....####..")
    both = [c for pair in zip(chunks(left, 512), chunks(right, 512, channel=1), strict=True) for c in pair]
    got = run(both, channels=2)
    assert [(s.audio.channel, s.span.start > 1) for s in got] == [(0, False), (1, True)]


def test_progress_waits_for_the_slowest_channel() -> None:
    s = segmenter(QUIET, channels=2)
    assert list(s.push(AudioChunk(np.zeros(1600, np.float32), 0.0, 0))) == []
    (progress, *_) = s.push(AudioChunk(np.zeros(512, np.float32), 0.0, 1))
    assert progress == Progress("audio", 512 / RATE, 0.0)


def test_a_channel_that_died_does_not_hold_the_others_back_for_ever() -> None:
    s = segmenter(QUIET, channels=2)
    silent = np.zeros(int((LOST + 2) * RATE), np.float32)
    out = [p for c in chunks(silent, 1600) for p in s.push(c)]
    assert isinstance(out[-1], Progress)
    assert out[-1].time > LOST


def test_the_meter_hears_exactly_the_samples_of_the_segment() -> None:
    pcm = noise("..####..######....." + "#" * 60 + "....")
    finals = [s for s in run(chunks(pcm, 512), Config(max_speech=5, split_within=2)) if s.final]
    assert len(finals) > 3
    for segment in finals:
        assert np.array_equal(segment.voice, segment.audio.pcm)  # type: ignore[arg-type]


def test_the_meter_is_fed_while_the_person_speaks() -> None:
    fed = Meter()
    s = Segmenter(lambda: loudness, QUIET, lambda: fed)  # type: ignore[arg-type, return-value]
    for chunk in chunks(noise("..########"), 512):
        list(s.push(chunk))
    heard = sum(len(p) for p in fed.parts)
    assert heard == pytest.approx((8 * CHAR + QUIET.pre_roll) * RATE, abs=1)


def test_partials_carry_the_measures_so_far() -> None:
    got = run(speech_script("..######...."), Config(partial_every=0.5))
    for segment in got:
        assert np.array_equal(segment.voice, segment.audio.pcm)  # type: ignore[arg-type]


def test_clean_sound_is_good_and_noisy_or_clipped_sound_is_not() -> None:
    clean = noise("....#######....")
    rng = np.random.default_rng(1)
    noisy = clean + rng.normal(0, 0.08, len(clean)).astype(np.float32)
    clipped = np.clip(clean * 8, -1, 1)
    vad = lambda pcm: float(np.abs(pcm).mean() > 0.15)  # noqa: E731

    def heard(pcm: Floats) -> float:
        out = run_inline(Segmenter(lambda: vad, QUIET), chunks(pcm, 512))
        (segment,) = [s for s in out if isinstance(s, Segment)]
        return segment.quality

    assert heard(clean) == pytest.approx(1.0)
    assert 0.3 < heard(noisy) < 0.8
    assert heard(clipped) == 0.0


def test_a_broken_sample_does_not_deafen_the_detector() -> None:
    pcm = noise("..####....####....")
    pcm[3000] = np.nan
    assert len(run(chunks(pcm, 512))) == 2


@settings(max_examples=30, deadline=None)
@given(
    script=st.text("#.", min_size=1, max_size=24),
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=6),
)
def test_the_same_sound_gives_the_same_output_in_any_slicing(script: str, sizes: list[int]) -> None:
    config = Config(max_speech=2, split_within=1, partial_every=0.3)
    pcm = noise(script, seconds_per_char=0.16)[:-37]
    parts, at, i = [], 0, 0
    while at < len(pcm):
        size = sizes[i % len(sizes)]
        parts.append(AudioChunk(pcm[at : at + size], at / RATE))
        at, i = at + size, i + 1
    sliced = [facts(x) for x in run_inline(segmenter(config), parts)]
    whole = [facts(x) for x in run_inline(segmenter(config), [AudioChunk(pcm, 0.0)])]
    assert sliced == whole


@settings(max_examples=30, deadline=None)
@given(script=st.text("#.", min_size=1, max_size=40), begin=st.floats(0, 1e5))
def test_every_segment_holds_the_sound_of_its_span_and_none_overlap(script: str, begin: float) -> None:
    pcm = noise(script, seconds_per_char=0.16)
    end = 0
    for segment in run(chunks(pcm, 480, begin), Config(max_speech=2, split_within=1, partial_every=None)):
        at = round((segment.span.start - begin) * RATE)
        assert at >= end
        assert np.array_equal(segment.audio.pcm, pcm[at : at + len(segment.audio.pcm)])
        end = at + len(segment.audio.pcm)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_speach": 3},
        {"threshold": 1.5},
        {"release": 0.8},
        {"min_silence": 0.6},
        {"post_roll": 0.4},
        {"max_speech": 5, "split_within": 4},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)


def test_nine_sentences_with_pauses_become_nine_segments() -> None:
    pcm, _ = soundfile.read(shared_data("asr", "product_talk_52s.flac"), dtype="float32")
    context = Context(session=Session(conversation="c", purpose="research"), state_dir=Path())
    out = run_inline(Segmenter(silero.Config().build(context), QUIET), chunks(pcm, 1600))
    finals = [s for s in out if isinstance(s, Segment)]
    assert len(finals) == 9
    assert all(s.quality > 0.7 for s in finals)
