"""What the chart shows, in words: every utterance, every reading, the strongest disagreements first."""

from __future__ import annotations

from dataclasses import replace

from streamer.inspection.tables import LEAST, STRONGEST, disagreements, speakers, strongest, utterances
from streamer.payloads import SpeakerV1
from tests.streamer.inspection.made import Page, crop, findings, row

SAME = ((0.75, 0.25), None, None)


def test_the_farthest_readings_come_first_and_small_ones_not_at_all() -> None:
    rows = [
        row(1, alone=((0.75, 0.25), (0.6, 0.4), None)),
        row(2, alone=((0.75, 0.25), None, (0.05, 0.95))),
        row(3, alone=((0.3, 0.7), None, None)),
        row(4, alone=SAME),
    ]
    found = strongest(rows)
    assert [(r.estimate.sequence, m) for r, m in found] == [(2, 2), (3, 0)]
    assert all(r.farthest[0] >= LEAST for r, _ in found)
    assert len(strongest([row(i) for i in range(1, 30)])) == STRONGEST


def test_a_disagreement_tells_who_said_what_and_both_readings() -> None:
    made = row(7, alone=((0.75, 0.25), None, (0.05, 0.95)), crops=[crop(14.2)], text="Fine <really>.")
    page = Page(disagreements(findings(made, duration=20.0)))
    for words in ("0:14.0", "s0", "Fine <really>.", "face alone", "neutral 95 %", "together", "joy 75 %"):
        assert words in page.text, words
    assert f"{made.divergence[2]:.2f}" in page.text
    assert "face: weight 50 %, quality 90 %" in page.text
    assert page.all("a")[0]["href"] == "#u7"
    assert page.all("svg", "face")


def test_agreement_is_said_as_well() -> None:
    assert "None" in Page(disagreements(findings(row(1, alone=SAME)))).text


def test_every_utterance_is_a_row_with_headed_columns() -> None:
    f = findings(row(1), row(2, alone=(None, None, (0.9, 0.1)), text=None), row(3, abstained=True))
    page = Page(utterances(f))
    assert [a["id"] for a in page.all("tr") if "id" in a] == ["u1", "u2", "u3"]
    heads = [a for a in page.all("th") if a.get("scope") == "col"]
    assert len(heads) == 8
    assert page.all("caption")
    assert "abstained (joy 75 %)" in page.text
    assert page.text.count("absent") == 4
    assert page.text.count("≠") == 2


def test_a_reading_shows_weight_quality_and_how_far_it_is() -> None:
    made = row(1)
    assert (
        f"weight 50 %, apart {made.divergence[1]:.2f}, quality 90 %" in Page(utterances(findings(made))).text
    )


def test_valence_and_arousal_are_shown_where_a_head_gives_them() -> None:
    made = row(1)
    assert "valence" not in utterances(findings(made))
    known = made.estimate.model_copy(update={"valence": 0.25, "arousal": -0.1})
    shown = findings(replace(made, estimate=known))
    assert "valence +0.25, arousal -0.10" in Page(utterances(shown)).text


def test_a_speakers_mean_counts_every_second_alike() -> None:
    ann = SpeakerV1(id="s0", label="<Ann>")
    f = findings(
        row(1, start=0, end=3, probs=(1.0, 0.0), speaker=ann),
        row(2, start=4, end=5, probs=(0.0, 1.0), speaker=ann),
        row(3, start=6, end=7, probs=(0.5, 0.5), speaker=SpeakerV1(id="s1")),
    )
    first, second = speakers(f).replace("\u00a0", " ").split("</tr>")[1:3]
    assert '<th scope="row">&lt;Ann&gt;</th><td class="n">2</td><td class="n">4.0</td>' in first
    assert "joy 75 %, neutral 25 %</title>" in first
    assert '<th scope="row">s1</th><td class="n">1</td><td class="n">1.0</td>' in second
    assert "joy 50 %, neutral 50 %</title>" in second
