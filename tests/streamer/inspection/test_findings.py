"""From what the onlookers saw to what the page shows: whole, in order, and of bounded size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.context import Session
from streamer.inspection import findings as module
from streamer.inspection.findings import ALL_CROPS, CROPS, POINTS, Findings, findings
from streamer.inspection.onlookers import Onlookers
from streamer.payloads import SpeakerV1
from streamer.pipeline import run
from streamer.types import RATE, AudioChunk, Span
from tests.fakes import FakeSource, speech_script
from tests.streamer.inspection import made
from tests.streamer.test_pipeline import both, context, graph

SESSION = Session(conversation="c", purpose="demo", publish_text=True)


async def found(duration: float | None = None, **changes: str) -> Findings:
    seen, where = Onlookers(), context()
    for origin, message in changes.items():
        where.notices.set(origin, message)
    await run(seen.watch(graph(both(), [])), where, lossless=True)
    return findings(seen, Path("/somewhere/talk.mp4"), SESSION, duration)


async def test_every_final_is_a_row_in_the_order_of_time() -> None:
    f = await found()
    assert [r.estimate.sequence for r in f.rows] == [1, 2, 3]
    assert [r.span.start for r in f.rows] == sorted(r.span.start for r in f.rows)
    assert f.speakers == {"s0": "Ann"}
    assert f.people == 1
    assert f.tracks == {"audio", "video"}
    assert f.name == "talk.mp4"
    assert f.pictured == f.faced == 3


async def test_the_axis_is_as_long_as_the_file_says_or_as_what_was_read() -> None:
    f = await found()
    assert f.read == f.duration == pytest.approx(27 * 0.256, abs=0.01)
    f = await found(10.0)
    assert f.duration == 10.0
    assert f.read == pytest.approx(27 * 0.256, abs=0.01)


async def test_a_problem_is_told_without_the_folder_of_the_file() -> None:
    f = await found(media="/somewhere/talk.mp4: ends after 3.0 of 9.0 s: cut off?")
    assert f.problems == ("media: talk.mp4: ends after 3.0 of 9.0 s: cut off?",)


async def test_nothing_heard_is_findings_too() -> None:
    seen = Onlookers()
    quiet = FakeSource(speech_script("......"), tracks=["audio"])
    await run(seen.watch(graph([quiet], [], video=False)), context(), lossless=True)
    f = findings(seen, Path("a.wav"), SESSION, None)
    assert (f.rows, f.faces, f.speakers, f.people) == ((), (), {}, 0)
    assert f.model.labels == ["joy", "anger"]
    assert f.tracks == {"audio"}


def test_a_row_knows_which_modality_is_farthest() -> None:
    value, which = made.row(alone=((0.75, 0.25), (0.1, 0.9), (0.5, 0.5))).farthest
    assert which == 1
    assert value > 0.2
    assert made.row(alone=(None, None, None)).farthest == (0.0, 0)


def test_a_face_in_silence_is_the_last_speaker_and_no_person() -> None:
    rows = [
        made.row(1, speaker=SpeakerV1(id="unheard"), spoken=False),
        made.row(2, speaker=SpeakerV1(id="s0", label="Ann")),
        made.row(3, speaker=SpeakerV1(id="s1")),
    ]
    f = made.findings(*rows)
    assert f.speakers == {"s0": "Ann", "s1": "s1", "unheard": "(silent)"}
    assert f.people == 2


@pytest.mark.parametrize(("utterances", "most"), [(10, CROPS), (250, 2), (500, 1), (1000, 1), (3000, 1)])
def test_pictures_are_bounded_for_each_utterance_and_for_all(utterances: int, most: int) -> None:
    rows = [
        made.row(i + 1, start=4.0 * i, end=4.0 * i + 3, crops=[made.crop(4 * i + k / 2) for k in range(6)])
        for i in range(utterances)
    ]
    thin = module._thinned(rows)
    counts = [len(r.crops) for r in thin]
    assert max(counts) == most
    assert sum(counts) <= ALL_CROPS
    assert sum(counts) > min(utterances, ALL_CROPS) / 2
    assert all(any(c) for c in (counts[i : i + 6] for i in range(0, utterances, 6)))  # spread evenly


def test_the_best_picture_of_each_third_is_taken() -> None:
    crops = [made.crop(k / 2, quality=q) for k, q in enumerate((0.1, 0.9, 0.2, 0.3, 0.8, 0.7))]
    assert [c.time for c in module._best(crops, Span(0, 3), 3)] == [0.5, 1.5, 2.0]


async def test_the_envelope_of_a_long_file_is_made_coarser() -> None:
    seen = Onlookers()
    seen.watch(graph([], []))
    for hour in range(3):
        seen.sound.see(AudioChunk(np.full(RATE, 0.5, np.float32), 3600.0 * (hour + 1) - 1))
    (wave,) = findings(seen, Path("a.wav"), SESSION, None).waves.values()
    assert POINTS / 2 < len(wave.peak) <= POINTS
    assert wave.peak.max() == pytest.approx(0.5)
