"""Sentences are spoken, heard and kept; what was kept is not heard again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import hear
from models.asr_noise import plain


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "heard.jsonl"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_spoken_sentence_is_heard_in_plain_words() -> None:
    """Most of an easy sentence comes through; how it is written is a recogniser's."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    pytest.importorskip("pocketsphinx")
    said, heard = hear.hear("I think we should go to the hospital in the morning.", seed=0)
    assert said.endswith("morning.")
    assert heard == plain(heard)
    assert len(set(heard.split()) & set(plain(said).split())) >= 4


def test_speech_is_16_khz_and_slower_speech_is_longer() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    slow, fast = (hear.speak("we will see about that tomorrow", speed) for speed in (110, 200))
    assert slow.dtype == np.int16
    assert 1.2 < len(slow) / len(fast) < 2.5
    assert 1.0 < len(slow) / hear.RATE < 6.0
    with pytest.raises(ValueError, match="nobody"):
        hear.speak("hello", 150, "nobody")


def test_what_was_heard_is_read_but_for_a_line_that_was_cut_off(kept: Callable[[str], Path]) -> None:
    line = json.dumps({"said": "Oh!", "heard": "oh"}) + "\n"
    assert hear.read(kept(line + '{"said": "No", "he')) == {"Oh!": "oh"}


def test_a_wrong_file_is_named(kept: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"heard\.jsonl.*models\.hear"):
        hear.read(kept("said,heard\nOh,oh\n"))
    with pytest.raises(ValueError, match=r"none\.jsonl.*models\.hear"):
        hear.read(tmp_path / "none.jsonl")


def test_only_what_is_missing_is_heard(kept: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a kill cut off goes on from its last whole line."""
    monkeypatch.setattr(hear, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(hear, "hear", lambda text, seed: (text, f"{text} {seed}"))
    path = kept(json.dumps({"said": "a", "heard": "eh"}) + '\n{"said": "b"')
    assert list(hear.missing(["a", "b", "c"], path, 1, 7)) == [("b", "b 7"), ("c", "c 7")]
    assert hear.read(path) == {"a": "eh", "b": "b 7", "c": "c 7"}


def test_a_word_error_rate_counts_edits_by_words_said() -> None:
    heard = {"One, two three.": "one three", "Four!": "for you"}
    assert hear.word_error_rate(heard) == pytest.approx(3 / 4)


class Here:
    """An executor in this process."""

    def __init__(self, jobs: int) -> None:
        self.map = map

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...
