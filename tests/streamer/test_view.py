from __future__ import annotations

import io
from typing import Literal

import pytest
from rich.console import Console, RenderableType

from streamer.payloads import ChannelV1, EmotionV1, EstimateV1, HealthV1, ModalitiesV1, ModalityV1, SpeakerV1
from streamer.view import READING, STALE, View
from tests.messages import BEGAN, estimate, session

LABELS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")


def test_a_clock_that_drifts_is_shown_from_a_tenth_of_a_second_on() -> None:
    view = View()
    for drift, shown in ((None, False), (0.05, False), (-0.31, True)):
        line = view.line(health(drift=drift))
        assert ("drift -0.3 s" in line) is shown
        assert ("drift" in line) is shown


def health(**changes: object) -> HealthV1:
    facts: dict[str, object] = {
        "conversation": "c1",
        "at": BEGAN,
        "uptime": 5.0,
        "fps": 24.9,
        "lag": 0.3,
        "skew": None,
        "behind": False,
        "paused": False,
        "memory_mb": 512.0,
        "channels": {"audio": ChannelV1(depth=0, capacity=64, sent=9, dropped=3)},
        "problems": {},
    }
    return HealthV1.model_validate({**facts, **changes})


def seven(number: int = 1, **probabilities: float) -> EstimateV1:
    """An estimate over the seven labels; what ``probabilities`` leave goes to neutral."""
    p = dict.fromkeys(LABELS, 0.0) | probabilities
    p["neutral"] += 1 - sum(p.values())
    label = max(p, key=lambda k: p[k])
    emotion = EmotionV1(label=label, confidence=p[label], probabilities=p)
    return estimate(number).model_copy(update={"emotion": emotion})


def text(renderable: RenderableType, width: int = 100, color: bool = False) -> str:
    file = io.StringIO()
    system: Literal["truecolor"] | None = "truecolor" if color else None
    console = Console(file=file, width=width, force_terminal=color, color_system=system)
    console.print(renderable)
    return file.getvalue()


def test_it_says_at_the_top_what_an_estimate_is_and_what_it_is_for() -> None:
    view = View()
    view.update(session())
    shown = text(view.render())
    assert READING in shown
    assert "purpose demo" in shown
    assert "must be told" in shown


def test_a_final_shows_when_who_what_was_said_and_every_label() -> None:
    view = View()
    view.update(seven(joy=0.9))
    shown = text(view.render())
    assert "0:02.0 s0" in shown
    assert "Hello there." in shown
    assert "joy 90%" in shown
    assert all(label in shown for label in LABELS)


def test_a_bar_is_as_long_as_its_label_is_probable() -> None:
    def filled(p: float) -> int:
        """Columns of the second line that have a background."""
        bars = text(View().entry(seven(anger=p, joy=1 - p)), color=True).split("\n")[1]
        runs = [run.split("\x1b")[0] for run in bars.split("\x1b[37;48;2;179;38;30m")[1:]]
        return sum(map(len, runs))

    lengths = [filled(p) for p in (0.0, 0.2, 0.4, 0.9, 1.0)]
    assert lengths[0] == 0
    assert lengths == sorted(set(lengths))


def test_what_an_estimate_rests_on_is_marked_with_its_weight_and_absence_with_a_dash() -> None:
    e = estimate().model_copy(
        update={
            "modalities": ModalitiesV1(
                text=ModalityV1(present=True, quality=1, weight=0.61),
                audio=ModalityV1(present=False, quality=0, weight=0),
                visual=ModalityV1(present=True, quality=1, weight=0.39),
            )
        }
    )
    assert text(View().entry(e)).split("\n")[0].split()[-6:] == ["words", "61", "voice", "-", "face", "39"]


def test_an_abstention_is_shown_as_one() -> None:
    e = estimate()
    abstained = e.model_copy(update={"emotion": e.emotion.model_copy(update={"abstained": True})})
    assert "abstained (joy 75%)" in text(View().entry(abstained))
    assert "abstained (joy 75%)" in View().line(abstained)


def test_words_that_may_not_be_published_are_not_mistaken_for_silence() -> None:
    heard = estimate().model_copy(update={"text": None})
    assert "(words not published)" in View().line(heard)
    assert "(no words)" in View().line(estimate(text=None))
    absent = ModalityV1(present=False, quality=0, weight=0)
    silent = heard.model_copy(update={"modalities": ModalitiesV1(text=absent, audio=absent, visual=absent)})
    assert "(silent)" in View().line(silent)


def test_a_partial_is_provisional_until_its_final() -> None:
    view = View()
    view.update(estimate(1, final=False, text="Hello"))
    view.update(estimate(1, final=False, text="Hello there", revision=1))
    assert "Hello there ..." in text(view.render())
    assert view.count == 0
    view.update(estimate(1))
    shown = text(view.render())
    assert "..." not in shown
    assert shown.count("Hello there.") == 1


def test_a_partial_without_a_final_goes_when_its_speaker_goes_on() -> None:
    view = View()
    view.update(estimate(1, final=False, speaker="a"))
    view.update(estimate(2, final=False, speaker="b"))
    view.update(estimate(3, speaker="a"))
    assert [p.speaker.id for p in view.partials.values()] == ["b"]
    view.update(estimate(round(STALE), speaker="a"))
    assert not view.partials


def test_history_is_bounded_and_the_count_is_not() -> None:
    view = View(history=5)
    for number in range(1, 21):
        view.update(estimate(number))
    assert len(view.finals) == 5
    assert view.count == 20


def test_the_footer_tells_lag_frame_rate_drops_memory_and_what_is_wrong() -> None:
    view = View()
    view.update(health(behind=True, problems={"webcam": "no picture for 3 s"}))
    shown = text(view.render())
    for part in ("lag 0.3 s", "24.9 fps", "dropped 3", "512 MB", "BEHIND", "webcam: no picture for 3 s"):
        assert part in shown
    assert "\x1b[31mwebcam" in text(view.render(), color=True)


def test_pictures_let_go_by_design_are_not_counted_as_losses() -> None:
    channels = {
        name: ChannelV1(depth=0, capacity=1, sent=9, dropped=n) for name, n in (("video", 41), ("texts", 2))
    }
    line = View().line(health(channels=channels))
    assert "dropped 2, stale pictures 41" in line


def test_a_pause_is_shown_until_it_ends() -> None:
    view = View()
    view.update(session("paused"))
    assert "PAUSED" in text(view.render())
    view.update(session("resumed"))
    assert "PAUSED" not in text(view.render())


def test_a_purge_takes_the_words_off_the_screen() -> None:
    view = View()
    view.update(estimate(1))
    view.update(estimate(2, final=False))
    view.update(session("purged"))
    assert "Hello" not in text(view.render())


def test_progress_through_a_file_ends_at_all_of_it() -> None:
    view = View(duration=10.0)
    view.update(estimate(1))  # ends at 3 s
    assert "30%" in text(view.render())
    view.update(session("stopped"))
    assert "100%" in text(view.render())


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    view = View(duration=60.0)
    view.update(session())
    long = seven(joy=0.5).model_copy(update={"text": "word " * 60, "speaker": SpeakerV1(id="x" * 40)})
    view.update(long)
    view.update(health(problems={"mqtt": "the broker refuses: " + "why " * 30}))
    assert max(map(len, text(view.render(), width).splitlines())) <= width


def test_a_narrow_terminal_shows_the_largest_labels() -> None:
    shown = text(View().entry(seven(fear=0.6, joy=0.3)), width=40)
    assert "fear" in shown
    assert "joy" in shown
    assert "disgust" not in shown


def test_labels_and_speakers_nobody_knew_of_are_shown_too() -> None:
    e = estimate().model_copy(
        update={
            "emotion": EmotionV1(label="awe", confidence=0.7, probabilities={"awe": 0.7, "boredom": 0.3}),
            "speaker": SpeakerV1(id="s7", label="Speaker 7"),
        }
    )
    shown = text(View().entry(e))
    assert "awe 70%" in shown
    assert "boredom" in shown
    assert "Speaker 7" in shown


def test_each_speaker_keeps_one_colour_of_its_own() -> None:
    view = View()
    first, second = (text(view.entry(estimate(1, speaker=s)), color=True) for s in "ab")
    assert first.replace("a", "b") != second.replace("a", "b")
    assert first == text(view.entry(estimate(1, speaker="a")), color=True)


def test_words_from_afar_cannot_steer_the_terminal() -> None:
    e = estimate(text="ok\x1b[2J\x07 [red]not markup[/red]")
    view = View()
    assert "\x1b[2J" not in text(view.entry(e), color=True)
    assert "[red]not markup[/red]" in text(view.entry(e))
    assert not any(ord(c) < 32 for c in view.line(e))


def test_a_plain_line_holds_everything_in_ascii() -> None:
    line = View().line(seven(joy=0.8, surprise=0.1))
    assert line.startswith(" 0:02.0 s0 joy 80% [joy ######## ")
    assert line.endswith('words 50 voice 50 face -  "Hello there."')
    assert line.isascii()
    assert "\n" not in line


def test_plain_lines_of_sessions_and_health() -> None:
    view = View()
    assert READING in view.line(session())
    assert view.line(session("stopped")) == "stopped: conversation c1, purpose demo"
    assert "problem" not in view.line(health())
    assert view.line(health(behind=True, problems={"mqtt": "away"})).endswith("512 MB; mqtt: away")


@pytest.mark.parametrize(("start", "shown"), [(59.96, "1:00.0"), (3599.0, "59:59.0"), (3661.0, "1:01:01")])
def test_times_are_minutes_and_from_an_hour_on_hours(start: float, shown: str) -> None:
    e = estimate().model_copy(update={"start": start, "end": start + 1})
    assert View().line(e).lstrip().startswith(shown + " ")


def test_valence_and_arousal_are_shown_where_they_are_known() -> None:
    view, plain = View(), seven(joy=0.8)
    known = plain.model_copy(update={"valence": 0.31, "arousal": -0.08})
    assert "valence" not in view.line(plain)
    assert "valence +0.31 arousal -0.08" in view.line(known)
    for width in (70, 120):
        assert "V +0.3  A -0.1" in text(view.entry(known), width)
        assert "A -0.1" not in text(view.entry(plain), width)
