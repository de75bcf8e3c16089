"""A watcher says how its connection stands, once."""

from __future__ import annotations

from streamer.commands.watch import teller


def test_the_same_refusal_is_said_once_and_every_change_is_said() -> None:
    said: list[str] = []
    tell = teller("broker:1883", said.append)
    for problem in ("refused", "refused", "refused", None, None, "gone", "refused", None):
        tell(problem)
    assert said == [
        "broker:1883: refused; trying again",
        "watching broker:1883",
        "broker:1883: gone; trying again",
        "broker:1883: refused; trying again",
        "watching broker:1883",
    ]
