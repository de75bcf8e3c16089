"""Names that speakers are given while it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamer.clock import ManualClock
from streamer.context import Notices, Session
from streamer.errors import ConfigError
from streamer.publish import MOST_NAMES, Publisher
from streamer.types import Estimate, Reading, Span, Speaker, Utterance
from tests.messages import MODEL


def publisher(*, publish_text: bool = True) -> Publisher:
    session = Session(conversation="c", purpose="demo", publish_text=publish_text)
    return Publisher(session, lambda: MODEL, Notices(), ManualClock(), paced=False)


def estimate(speaker: Speaker) -> Estimate:
    u = Utterance(Span(0.0, 1.0), None, (), speaker)
    nothing = Reading(False, 0, 0)
    return Estimate(u, "c-1", 1, 0, ("joy", "neutral"), (0.4, 0.6), (nothing, nothing, nothing), 0)


def label(p: Publisher, speaker: str = "s1", given: str | None = None) -> str | None:
    return p.message(estimate(Speaker(speaker, given))).speaker.label


def test_a_named_speaker_is_called_so_from_then_on() -> None:
    p = publisher()
    assert label(p) is None
    assert p.name({"speaker": "s1", "label": " Ann "}) == "s1 is Ann"
    assert (label(p), label(p, "s2")) == ("Ann", None)


def test_the_given_name_stands_before_a_transcripts() -> None:
    p = publisher()
    p.name({"speaker": "s1", "label": "Ann"})
    assert label(p, given="SPEAKER 1") == "Ann"


def test_an_empty_name_is_taken_away() -> None:
    p = publisher()
    p.name({"speaker": "s1", "label": "Ann"})
    assert "no name" in p.name({"speaker": "s1", "label": ""})
    assert label(p) is None


def test_a_name_goes_to_whom_its_speaker_was_merged_into() -> None:
    p = publisher()
    p.name({"speaker": "s2", "label": "Ann"})
    assert p.message(estimate(Speaker("s1", merged=("s2",)))).speaker.label == "Ann"
    assert (label(p), label(p, "s2")) == ("Ann", None)


def test_who_has_a_name_keeps_it_when_another_is_merged_into_them() -> None:
    p = publisher()
    p.name({"speaker": "s1", "label": "Bo"})
    p.name({"speaker": "s2", "label": "Ann"})
    assert p.message(estimate(Speaker("s1", merged=("s2",)))).speaker.label == "Bo"


def test_a_purge_forgets_names() -> None:
    p = publisher()
    p.name({"speaker": "s1", "label": "Ann"})
    p.forget()
    assert label(p) is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, '"speaker" must be an id'),
        ({"speaker": 1, "label": "Ann"}, '"speaker" must be an id'),
        ({"speaker": "s1\n", "label": "Ann"}, '"speaker" must be an id'),
        ({"speaker": "s1"}, '"label" must be a text'),
        ({"speaker": "s1", "label": "x" * 65}, "up to 64"),
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        publisher().name(body)


def test_names_are_refused_where_they_may_not_leave() -> None:
    p = publisher(publish_text=False)
    with pytest.raises(ConfigError, match="publish_text"):
        p.name({"speaker": "s1", "label": "Ann"})


def test_so_many_names_and_no_more() -> None:
    p = publisher()
    for i in range(MOST_NAMES):
        p.name({"speaker": f"s{i}", "label": "x"})
    with pytest.raises(ConfigError, match="names already"):
        p.name({"speaker": "another", "label": "x"})


def test_merged_ids_are_told() -> None:
    told = publisher().message(estimate(Speaker("s0", confidence=0.8, merged=("s2",))))
    assert told.speaker.merged == ["s2"]


def test_valence_and_arousal_go_out_where_they_are_known() -> None:
    e = estimate(Speaker("s1"))
    unknown = publisher().message(e)
    assert (unknown.valence, unknown.arousal) == (None, None)
    known = publisher().message(replace(e, valence=0.12345678, arousal=-1.0))
    assert (known.valence, known.arousal) == (0.123457, -1.0)
