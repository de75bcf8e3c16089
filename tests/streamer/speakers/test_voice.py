"""Segments get their speaker; finals are cut where another voice goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from models.encoders.prosody import ProsodyAccumulator
from models.encoders.speaker import SpeakerNet
from streamer.context import Context, Session
from streamer.errors import ConfigError, EncodeError
from streamer.segmenter import Config as SegmenterConfig
from streamer.segmenter import Segmenter
from streamer.speakers.enrolled import Voice, store
from streamer.speakers.voice import Config, Tracker, listen
from streamer.stage import run_inline
from streamer.types import RATE, AudioChunk, Floats, Progress, Segment, Speaker
from streamer.vad import silero
from tests.data import shared_data, speaker_encoder

CONTEXT = Context(session=Session(conversation="c", purpose="research"), state_dir=Path())


def tones(stretches: Sequence[Floats]) -> Floats:
    """An encoder that hears which share of a stretch is of each of four voices, which are levels of sound."""
    levels = np.array([0.1, 0.2, 0.3, 0.4])
    rows = [np.isclose(np.abs(s)[:, None], levels, atol=0.02).mean(0) + 1e-6 for s in stretches]
    return np.asarray([row / np.linalg.norm(row) for row in rows], np.float32)


def sound(script: str) -> Floats:
    """Each digit is 0.4 s of that voice."""
    return np.concatenate([np.full(round(0.4 * RATE), int(c) / 10, np.float32) for c in script])


def segment(script: str, start: float = 0.0, *, final: bool = True, revision: int = 0) -> Segment:
    return Segment(AudioChunk(sound(script), start), final=final, revision=revision, noticed=start + 20)


def tracker(**options: object) -> Tracker:
    return Tracker(Config(**options), tones, ProsodyAccumulator)  # type: ignore[arg-type]


def who(items: Sequence[Segment | Progress]) -> list[str]:
    return [i.speaker.id for i in items if isinstance(i, Segment) and i.speaker]


def test_each_voice_has_an_id_by_order_of_appearance() -> None:
    said = [segment("3" * 10), segment("1" * 10, 5), segment("3" * 10, 10), segment("2" * 10, 15)]
    assert who(run_inline(tracker(), said)) == ["s0", "s1", "s0", "s2"]


def test_progress_passes_in_its_place() -> None:
    items = [Progress("audio", 1.0), segment("1" * 10), Progress("audio", 5.0)]
    made = run_inline(tracker(), items)
    assert [type(i) for i in made] == [Progress, Segment, Progress]


def test_an_utterance_is_cut_where_another_voice_goes_on_and_no_sample_is_lost() -> None:
    whole = segment("1" * 10 + "2" * 10, 3.0, revision=4)
    parts = [i for i in run_inline(tracker(), [whole]) if isinstance(i, Segment)]
    assert who(parts) == ["s0", "s1"]
    assert parts[0].span.end == parts[1].span.start == pytest.approx(7.0, abs=0.4)
    assert np.array_equal(np.concatenate([p.audio.pcm for p in parts]), whole.audio.pcm)
    assert (parts[0].span.start, parts[-1].span.end) == (whole.span.start, whole.span.end)
    assert [p.revision for p in parts] == [4, 0]
    assert all(p.final and p.noticed == whole.noticed for p in parts)


def test_the_voice_of_a_part_is_measured_anew() -> None:
    t = np.arange(4 * RATE) / RATE
    low, high = (0.1 * np.sign(np.sin(2 * np.pi * f * t)) for f in (110, 220))
    pcm = np.concatenate([low, 2 * high]).astype(np.float32)
    meter = ProsodyAccumulator()
    meter.push(pcm)
    whole = Segment(AudioChunk(pcm, 0.0), voice=meter.measures())
    pitches = [
        s.voice.avg_pitch for s in run_inline(tracker(), [whole]) if isinstance(s, Segment) and s.voice
    ]
    assert pitches == pytest.approx([110, 220], rel=0.05)


def test_it_is_not_cut_where_that_is_switched_off() -> None:
    assert len(run_inline(tracker(split=False), [segment("1" * 10 + "2" * 10)])) == 1


def test_partials_guess_and_change_nothing_about_the_finals() -> None:
    script = "1" * 8 + "2" * 12
    finals = [segment(script), segment("2" * 6, 10), segment("1" * 3, 14)]
    with_partials = []
    for final in finals:
        length = len(final.audio.pcm)
        for samples in range(RATE // 2, length, RATE // 2):
            part = AudioChunk(final.audio.pcm[:samples], final.audio.start)
            with_partials.append(replace(final, audio=part, final=False))
        with_partials.append(final)
    alone = [i for i in run_inline(tracker(), finals) if isinstance(i, Segment)]
    made = [i for i in run_inline(tracker(), with_partials) if isinstance(i, Segment)]
    beside = [i for i in made if i.final]
    assert [(i.span, i.speaker) for i in alone] == [(i.span, i.speaker) for i in beside]
    assert all(i.speaker is not None and i.speaker.merged == () for i in made if not i.final)


def test_a_final_may_be_shorter_than_its_last_partial() -> None:
    long = segment("1" * 20, final=False)
    assert who(run_inline(tracker(), [long, segment("1" * 7)])) == ["s0", "s0"]


def test_forgotten_voices_get_new_ids() -> None:
    stage = tracker()
    run_inline(stage, [segment("1" * 10), segment("2" * 10, 5)])
    stage.forget()
    assert who(run_inline(stage, [segment("1" * 10, 10)])) == ["s2"]
    assert stage.bits == 1


def speakers(stage: Tracker, *said: Segment) -> list[Speaker]:
    return [i.speaker for i in run_inline(stage, said) if isinstance(i, Segment) and i.speaker]


def test_a_merge_holds_from_the_next_utterance_on_and_is_told_once() -> None:
    stage = tracker()
    run_inline(stage, [segment("1" * 10), segment("2" * 10, 5), segment("3" * 10, 10)])
    assert stage.merge({"speaker": "s2", "into": "s0"}) == "s2 is s0 from the next utterance on"
    after = speakers(stage, segment("2" * 10, 15), segment("3" * 10, 20), segment("1" * 10, 25))
    assert [(s.id, s.merged) for s in after] == [("s1", ()), ("s0", ("s2",)), ("s0", ())]


def test_what_was_merged_into_a_merged_voice_is_told_as_well() -> None:
    stage = tracker()
    run_inline(stage, [segment(c * 10, i * 5.0) for i, c in enumerate("123")])
    stage.merge({"speaker": "s2", "into": "s1"})
    stage.merge({"speaker": "s1", "into": "s0"})
    (after,) = speakers(stage, segment("3" * 10, 15))
    assert (after.id, set(after.merged)) == ("s0", {"s1", "s2"})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, r'"speaker" must be the id of a voice; in use: s0, s1'),
        ({"speaker": "s1"}, '"into" must be the id'),
        ({"speaker": "s7", "into": "s0"}, '"speaker" must be the id'),
        ({"speaker": 1, "into": "s0"}, '"speaker" must be the id'),
        ({"speaker": "s1", "into": "s1"}, "the same"),
    ],
)
def test_a_merge_that_makes_no_sense_is_refused(body: dict[str, object], says: str) -> None:
    stage = tracker()
    run_inline(stage, [segment("1" * 10), segment("2" * 10, 5)])
    with pytest.raises(ConfigError, match=says):
        stage.merge(body)


def test_an_enrolled_voice_keeps_its_id() -> None:
    ann = Voice("Ann", tones([sound("1")])[0])
    stage = Tracker(Config(), tones, known=[ann])
    run_inline(stage, [segment("2" * 10)])
    with pytest.raises(ConfigError, match="s0 is enrolled"):
        stage.merge({"speaker": "s0", "into": "s1"})
    stage.merge({"speaker": "s1", "into": "s0"})
    (after,) = speakers(stage, segment("2" * 10, 5))
    assert (after.id, after.label) == ("s0", "Ann")


def test_a_merge_of_voices_that_were_forgotten_meanwhile_is_dropped() -> None:
    stage = tracker()
    run_inline(stage, [segment("1" * 10), segment("2" * 10, 5)])
    stage.merge({"speaker": "s1", "into": "s0"})
    stage.forget()
    assert [(s.id, s.merged) for s in speakers(stage, segment("2" * 10, 10))] == [("s2", ())]
    with pytest.raises(ConfigError, match="in use: s2"):
        stage.merge({"speaker": "s1", "into": "s0"})


def test_no_more_is_kept_after_hours_than_after_minutes() -> None:
    stage = tracker()
    for i in range(400):
        run_inline(stage, [segment(str(1 + i % 4) * 5, i * 3.0)])
        assert stage.bits <= 64


def test_windows_are_the_same_however_the_sound_comes() -> None:
    pcm = sound("1" * 8 + "3" * 8)
    whole = listen(pcm, tones)
    assert len(whole) == 1 + (len(pcm) - round(1.6 * RATE)) // round(0.2 * RATE)
    assert listen(pcm[:100], tones).shape == (1, 4)


def test_sound_channels_are_speakers_already() -> None:
    with pytest.raises(ConfigError, match='channels = "mix"'):
        Config().build(replace(CONTEXT, channels=2))


def test_missing_weights_are_named() -> None:
    with pytest.raises(EncodeError, match=r"nowhere\.pt: no speaker encoder there; pip install"):
        Config(weights=Path("nowhere.pt")).build(CONTEXT)


@pytest.mark.parametrize("options", [{"max_speakers": 0}, {"speakers": 3}, {"split": "maybe"}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(options)


def read(name: str) -> Floats:
    pcm, _ = soundfile.read(shared_data("asr", f"{name}.flac"), dtype="float32")
    return np.asarray(pcm, np.float32)


def test_an_enrolled_person_is_called_by_name(tmp_path: Path) -> None:
    net = SpeakerNet.load(speaker_encoder())
    embedding = listen(read("librivox_0870"), net.embed).mean(0)
    store(tmp_path, Voice("Ann", embedding))
    stage = Config(enrolled=True).build(replace(CONTEXT, state_dir=tmp_path))
    said = [Segment(AudioChunk(read(name), i * 10.0)) for i, name in enumerate(("jfk", "librivox_0920"))]
    made = [s.speaker for s in run_inline(stage, said) if isinstance(s, Segment) and s.speaker]
    assert {(s.id, s.label) for s in made[:-1]} == {("s1", None)}
    assert (made[-1].id, made[-1].label) == ("s0", "Ann")
    assert made[-1].confidence is not None
    assert made[-1].confidence > 0.6


def test_three_real_voices_in_turn_keep_three_ids() -> None:
    """Two read sentences each, with pauses that the detector finds itself."""
    stage = Config().build(CONTEXT) if speaker_encoder() else None
    assert stage is not None
    names = ["jfk", "LJ001-0004", "librivox_0870", "LJ001-0006", "librivox_0890"]
    silence = np.zeros(RATE, np.float32)
    pcm = np.concatenate([part for name in names for part in (read(name), silence)])
    bounds = np.cumsum([len(read(name)) / RATE + 1 for name in names])
    segmenter = Segmenter(silero.Config().build(CONTEXT), SegmenterConfig(partial_every=None))
    heard: dict[str, set[str]] = {}
    for s in run_inline(stage, run_inline(segmenter, [AudioChunk(pcm, 0.0)])):
        if isinstance(s, Segment) and s.speaker:
            name = names[int(np.searchsorted(bounds, (s.span.start + s.span.end) / 2))]
            heard.setdefault(name[:2], set()).add(s.speaker.id)
    assert {len(ids) for ids in heard.values()} == {1}
    assert len(set.union(*heard.values())) == 3
