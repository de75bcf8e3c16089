"""The chart: strips cover the file, everything stands where its time is, and once."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from streamer.inspection.onlookers import Presence, Wave
from streamer.inspection.tables import utterances
from streamer.inspection.timeline import overview, strips, timeline
from streamer.payloads import SpeakerV1
from streamer.types import Span
from tests.streamer.inspection.made import Page, crop, findings, row

PLACE = re.compile(r"left:([\d.]+)%;width:([\d.]+)%")


def place(attributes: dict[str, str]) -> tuple[float, float]:
    found = PLACE.search(attributes["style"])
    assert found
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("duration", [0, 0.01, 2.98, 9.99, 30, 30.01, 55.4, 100, 1200, 1201, 3600, 36_000.5])
def test_strips_are_equal_and_cover_the_file(duration: float) -> None:
    made = strips(duration)
    assert made[0].start == 0
    assert made[-1].end >= duration
    assert made[-1].start < max(duration, 0.001)
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(made))
    assert max(s.duration for s in made) <= (30 if duration <= 1200 else 60)
    assert len({round(s.duration, 6) for s in made}) == 1


def test_a_short_file_is_one_strip_and_a_longer_one_has_round_times() -> None:
    assert strips(2.98) == [Span(0.0, 3.0)]
    assert strips(55.4) == [Span(0.0, 30.0), Span(30.0, 60.0)]
    assert strips(62.0) == [Span(0.0, 25.0), Span(25.0, 50.0), Span(50.0, 75.0)]


def test_an_utterance_stands_at_its_time_with_all_it_says() -> None:
    f = findings(row(1, start=5, end=10, text="Hello <there>."))
    page = Page(timeline(f))
    (block,) = page.all("a", "u")
    assert place(block) == (25, 25)
    assert (block["id"], block["href"]) == ("t1", "#u1")
    assert "voice alone: neutral 75" in block["title"]
    assert "Hello <there>." in page.text
    assert len(page.all("span", "own")) == 3
    assert len(page.all("span", "differs")) == 1
    assert len(page.all("span", "absent")) == 1


def test_an_utterance_across_a_border_is_in_both_strips_and_told_once() -> None:
    for start, end in ((28, 31), (29, 32), (29.5, 30.5), (20, 52)):
        page = Page(timeline(findings(row(1, start=start, end=end, text="Once."), duration=60)))
        blocks = page.all("a", "u")
        assert len(blocks) == 2
        assert sum("id" in b for b in blocks) == 1
        assert page.text.count("Once.") == 1
        seconds = [place(b)[1] * 0.3 for b in blocks]
        assert sum(seconds) == pytest.approx(end - start, abs=0.01)


def test_a_speaker_has_a_lane_in_the_strips_where_they_speak() -> None:
    ann, bob = SpeakerV1(id="s0", label="Ann & Co"), SpeakerV1(id="s1")
    f = findings(
        row(1, start=1, end=2, speaker=ann),
        row(2, start=3, end=4, speaker=bob),
        row(3, start=41, end=42, speaker=bob),
        duration=60,
    )
    html = timeline(f)
    first, second = html.split("</section>")[:2]
    assert "<b>Ann &amp; Co</b>" in first
    assert "<b>s1</b>" in first
    assert "<b>Ann &amp; Co</b>" not in second
    assert "<b>s1</b>" in second
    assert len(Page(overview(f)).all("div", "course")) == 2


def test_pictures_stand_at_their_time_and_do_not_cover_each_other() -> None:
    crops = [crop(t) for t in (0.0, 0.5, 1.0, 10.0, 19.9)]
    page = Page(timeline(findings(row(1, start=0, end=20, crops=crops))))
    lefts = [float(s["style"].removeprefix("left:").rstrip("%")) for s in page.all("span", "crop")]
    assert lefts == [2.5, 5.0, 50.0, 97.5]  # the second is too near; those at the border stay inside


def test_a_face_in_view_has_a_line() -> None:
    f = findings(row(1), faces=(Presence(4, Span(5.0, 15.0)), Presence(5, Span(30.0, 31.0))))
    (line,) = Page(timeline(f)).all("i", "view")
    assert place(line) == (25, 50)
    assert line["title"] == "face 4 in view, 0:05.0 to 0:15.0"


def test_speech_is_shaded_and_a_silent_face_is_not() -> None:
    f = findings(row(1, start=2, end=4), row(2, start=6, end=8, spoken=False, text=None))
    assert [place(i) for i in Page(timeline(f)).all("i", "speech")] == [(10, 10)]


def test_the_envelope_is_as_high_as_the_sound_is_loud_and_never_higher() -> None:
    peak = np.concatenate([np.zeros(400), np.full(399, 0.4), [1.0]]).astype(np.float32)
    html = timeline(findings(waves={0: Wave(0.025, peak, peak / 2)}))
    up, low = re.findall(r'<path class="(?:peak|rms)" d="M0 0([^M]*)V0z', html)
    heights = np.cumsum([int(v or 0) for v in re.findall(r"(?:v(-?\d+))?h1", up)])
    assert len(heights) == 800
    assert set(heights[:400]) == {-1}
    assert set(heights[400:]) == {-100}  # one crack does not make everything else small
    assert min(np.cumsum([int(v) for v in re.findall(r"v(-?\d+)", low)])) == -100


def test_silence_is_a_flat_line() -> None:
    flat = np.full(800, 0.001, np.float32)
    assert 'd="M0 0v-1h1h1' in timeline(findings(waves={0: Wave(0.025, flat, flat)}))


def test_each_channel_of_sound_has_its_row() -> None:
    wave = Wave(0.025, np.ones(800, np.float32), np.ones(800, np.float32))
    text = Page(timeline(findings(row(1), waves={0: wave, 1: wave}))).text
    assert "sound 0" in text
    assert "sound 1" in text


@pytest.mark.parametrize(
    ("tracks", "waves", "words"),
    [
        ({"video"}, {}, "no sound track"),
        ({"audio"}, {}, "no sound in it"),
        ({"audio"}, None, "nobody was heard"),
    ],
)
def test_what_is_not_there_is_said(tracks: set[str], waves: dict[int, Wave] | None, words: str) -> None:
    f = findings(tracks=frozenset(tracks), **({} if waves is None else {"waves": waves}))
    assert words in Page(timeline(f)).text
    assert not Page(timeline(f)).all("div", "faces") or "video" in tracks


def test_what_could_not_be_read_is_marked_and_so_is_the_end() -> None:
    page = Page(timeline(findings(duration=50.0, read=40.0)))
    assert "not read" in page.text
    (gap,) = [a for t, a in page.tags if t == "i" and "class" not in a]
    assert place(gap) == (60, 40)  # of the second strip, 25 s long
    (end,) = Page(timeline(findings(duration=55.0))).all("i", "end")
    assert place(end) == (83.33, 16.67)
    assert "not read" not in Page(timeline(findings(duration=50.0))).text


def test_an_abstention_has_no_colour_in_the_overview() -> None:
    f = findings(row(1), row(2, abstained=True))
    (lane,) = re.findall(r'<svg class="bar".*?</svg>', overview(f))
    assert lane.count("<path") == 1


def test_the_overview_leads_to_every_strip_and_shows_a_few_times() -> None:
    page = Page(overview(findings(row(1), duration=3600.0)))
    jumps = [a["href"] for a in page.all("a")]
    assert jumps == [f"#s{i}" for i in range(60)]
    assert len(re.findall(r"\d+:\d\d", page.text)) <= 12


def test_the_chart_and_the_table_draw_the_same_bars() -> None:
    f = findings(row(1), row(2, alone=(None, None, (1.0, 0.0)), text=None))
    drawn = {u["href"][1:] for u in Page(timeline(f)).all("use")}
    assert drawn == {"b1", "b1w", "b1v", "b2", "b2f"}
    assert drawn == {i for i in Page(utterances(f)).ids if i.startswith("b")}
