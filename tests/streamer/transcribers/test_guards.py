"""Guards against late, unstable and invented words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.transcribers.guards import Agreement, Finals, looped, too_fast
from streamer.types import Segment

from .talk import said


def segment(start: float, *, final: bool, channel: int = 0) -> Segment:
    made = said(start, start + 1, final=final, channel=channel).segment
    assert made is not None
    return made


def test_a_partial_after_its_final_is_late() -> None:
    finals = Finals()
    assert not finals.late(segment(1.0, final=False))
    assert not finals.late(segment(1.0, final=True))
    assert finals.late(segment(1.0, final=False))


def test_a_partial_of_the_next_utterance_or_of_another_channel_is_not_late() -> None:
    finals = Finals()
    finals.late(segment(1.0, final=True))
    assert not finals.late(segment(2.5, final=False))
    assert not finals.late(segment(1.0, final=False, channel=1))


def test_a_final_is_never_late() -> None:
    finals = Finals()
    finals.late(segment(3.0, final=True))
    assert not finals.late(segment(1.0, final=True))


def test_words_are_settled_once_two_hypotheses_agree() -> None:
    agreement = Agreement()
    assert agreement.update("I think") == "I think"
    assert agreement.settled == 0
    assert agreement.update("I think that") == "I think that"
    assert agreement.settled == 2


def test_settled_words_stay_as_they_are_even_if_a_later_hypothesis_denies_them() -> None:
    agreement = Agreement()
    agreement.update("I think it")
    agreement.update("I think is")
    assert agreement.update("You sink it is late") == "I think it is late"


def test_case_and_punctuation_do_not_hinder_agreement() -> None:
    agreement = Agreement()
    agreement.update("Well then")
    assert agreement.update("well, then we") == "well, then we"
    assert agreement.settled == 2


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6), max_size=8))
def test_the_settled_prefix_never_changes(hypotheses: list[list[str]]) -> None:
    agreement, settled = Agreement(), []
    for words in hypotheses:
        shown = agreement.update(" ".join(words)).split()
        assert shown[: len(settled)] == settled
        settled = shown[: agreement.settled]


@pytest.mark.parametrize(
    "text",
    [
        "thank you for watching " * 5,
        "no " * 12,
        "so the thing is the thing is the thing is the thing is done",
        "Bye, bye. bye bye! bye bye bye bye bye",
    ],
)
def test_a_phrase_repeated_over_and_over_is_a_loop(text: str) -> None:
    assert looped(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "no, no, no, no!",
        "very very very good",
        "the cat and the dog and the bird",
        "ha ha ha ha ha",
    ],
)
def test_what_people_say_is_no_loop(text: str) -> None:
    assert not looped(text)


def test_nobody_speaks_that_fast() -> None:
    assert too_fast("one two three four five six seven eight nine ten eleven twelve", 1.0)
    assert not too_fast("one two three four five", 1.0)
    assert not too_fast("oh my god", 0.3)
