"""The bundled sample: small, whole, and as its transcript says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

SAMPLE = Path(__file__).parent.parent / "streamer" / "sample"
CUE = re.compile(r"00:(\d\d):(\d\d\.\d{3}) --> 00:(\d\d):(\d\d\.\d{3})\n<v ([AB])>(.+)\n")
RATE = 16_000


@pytest.fixture(scope="module")
def cues() -> list[tuple[float, float, str, str]]:
    text = (SAMPLE / "sample.vtt").read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n")
    found = CUE.findall(text)
    assert len(found) == text.count(" --> ")
    return [(60 * int(a) + float(b), 60 * int(c) + float(d), who, said) for a, b, c, d, who, said in found]


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    with av.open(str(SAMPLE / "sample.mp4")) as container:
        assert container.streams.audio[0].rate == RATE
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def test_it_is_small_and_half_a_minute_to_a_minute_long(sound: np.ndarray) -> None:
    assert (SAMPLE / "sample.mp4").stat().st_size < 600_000
    assert 30 <= len(sound) / RATE <= 60


def test_two_speakers_take_turns_with_pauses_that_end_an_utterance(
    cues: list[tuple[float, float, str, str]],
) -> None:
    assert 10 <= len(cues) <= 14
    assert {who for *_, who, _ in cues} == {"A", "B"}
    assert all(after[0] - before[1] >= 0.8 for before, after in pairwise(cues))
    assert all(said.strip() for *_, said in cues)


def test_speech_is_where_the_transcript_says_and_silence_elsewhere(
    cues: list[tuple[float, float, str, str]], sound: np.ndarray
) -> None:
    speaking = np.zeros(len(sound), bool)
    for start, end, *_ in cues:
        said = slice(round(start * RATE), round(end * RATE))
        speaking[said] = True
        edges = sound[said][: RATE // 10], sound[said][-RATE // 10 :]
        assert min(np.sqrt(np.mean(edge**2)) for edge in edges) > 0.001
        assert np.sqrt(np.mean(sound[said] ** 2)) > 0.02
    margin = RATE // 20  # the codec smears a little
    speaking = np.convolve(speaking, np.ones(2 * margin), "same") > 0
    assert np.abs(sound[~speaking]).max() < 0.01


def test_no_pause_inside_an_utterance_would_end_it(
    cues: list[tuple[float, float, str, str]], sound: np.ndarray
) -> None:
    for start, end, *_ in cues:
        loud = np.flatnonzero(np.abs(sound[round(start * RATE) : round(end * RATE)]) > 0.005)
        assert np.diff(loud).max() / RATE < 0.25


def test_the_face_shows_while_the_script_is_glad_and_nowhere_else(
    cues: list[tuple[float, float, str, str]],
) -> None:
    """Looked at once a second, away from the cuts."""
    glad = {"They want me! I am so happy!", "Really? Thank you so much! You are the best!"}
    starts = [start for start, _, _, said in cues if said in glad]
    sad = next(start for start, _, _, said in cues if "grandmother" in said)
    assert len(starts) == 2
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    with av.open(str(SAMPLE / "sample.mp4")) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % 10:
                continue
            time = float(frame.time or 0)
            faces = cascade.detectMultiScale(frame.to_ndarray(format="gray"), 1.1, 5, minSize=(40, 40))
            shown = starts[0] <= time < sad - 0.8 or time >= starts[1]
            hidden = time < starts[0] - 0.4 or sad <= time < starts[1] - 0.4
            assert not shown or len(faces) == 1, f"no face at {time:.1f} s"
            assert not hidden or len(faces) == 0, f"a face at {time:.1f} s"


def test_the_licence_of_every_part_is_stated() -> None:
    note = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert all(word in note for word in ("espeak-ng", "NASA", "public domain", "Apache-2.0"))
