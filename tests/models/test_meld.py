"""Reading MELD: whole, ordered, anonymous."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.meld import LABELS, MEASURES, load, tidy
from tests.data import shared_data


def test_the_published_splits_are_read_whole() -> None:
    """9,989 / 1,109 / 2,610 utterances; every label and measure has its place."""
    data = shared_data()
    for split, count in (("train", 9989), ("dev", 1109), ("test", 2610)):
        conversations = load(data, split)
        assert sum(len(c.texts) for c in conversations) == count
        assert {y for c in conversations for y in c.labels} == set(range(len(LABELS)))
        assert all(c.audio_NA.shape == (len(c.texts), len(MEASURES)) for c in conversations)


def test_speakers_are_orders_of_first_appearance() -> None:
    """The first speaker of every conversation is 0 and nobody is skipped."""
    for c in load(shared_data(), "dev"):
        first = list(dict.fromkeys(c.speakers))
        assert first == list(range(len(first)))


def test_a_measure_can_be_left_out() -> None:
    """Columns come in the order asked for."""
    some = load(shared_data(), "dev", ("mean_hnr", "duration"))
    both = load(shared_data(), "dev")
    np.testing.assert_array_equal(some[0].audio_NA[:, 1], both[0].audio_NA[:, MEASURES.index("duration")])


def test_bad_input_is_named(tmp_path: Path) -> None:
    """A wrong folder, split or measure says what was expected."""
    with pytest.raises(ValueError, match="holds meld/"):
        load(tmp_path, "dev")
    with pytest.raises(ValueError, match="train, dev, test"):
        load(tmp_path, "validation")
    with pytest.raises(ValueError, match="no measure 'loudness'"):
        load(shared_data(), "dev", ("loudness",))


def test_quotes_become_plain() -> None:
    """Typographic quotes and the leftovers of an old encoding are one apostrophe to the encoder."""
    assert tidy("I\x92m  \u2018fine\u2019 \u2026") == "I'm 'fine' ..."
