"""One measured number, and what it should be; as a row it has the form of docs/results.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from models.checkpoint import read_meta

T = TypeVar("T")
Say = Callable[[str], None]  # is told what is being done

OURS = "shipped"
TIMES = 3  # that a call is timed


@dataclass(frozen=True, slots=True)
class Target:
    """What issue 4 asks for: at least ``value``, or at most."""

    value: float
    at_most: bool = False

    def reached(self, value: float) -> bool:
        return value <= self.value if self.at_most else value >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number.

    Attributes:
        part: text, voice, face, ...; model: `OURS`, or the name of a baseline.
        protocol: The condition, such as the share of wrong words.
        metric: What ``value`` is; percent and milliseconds where the name says nothing else.
        n: How many utterances, clips or pictures it is over.
        seed: Of the training; None where nothing was drawn.
    """

    part: str
    dataset: str
    model: str
    protocol: str
    metric: str
    value: float
    n: int
    context: str = ""
    target: Target | None = None
    parameters: int = 0
    seed: int | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.target.reached(self.value)

    def row(self, command: str, commit: str) -> dict[str, Any]:
        """The figure as an entry of docs/results.json."""
        return {
            "table": f"shipped-{self.part}",
            "dataset": self.dataset,
            "model": self.model,
            "fusion": None,
            "context": self.context,
            "protocol": self.protocol,
            "metric": self.metric,
            "mean": round(self.value, 4),
            "std": None,
            "seeds": [] if self.seed is None else [self.seed],
            "n": self.n,
            "parameters": self.parameters,
            "target": None if self.target is None else self.target.value,
            "target_is": None if self.target is None else ("at most" if self.target.at_most else "at least"),
            "reached": self.reached,
            "commit": commit,
            "command": command,
        }


def written(metric: str, value: float) -> str:
    """With three places where it is small by nature: calibration errors, correlations, milliseconds."""
    fine = metric.startswith(("ece", "ms")) or metric.endswith("_r")
    return f"{value:.{3 if fine else 1}f}"


def seed_of(path: Path) -> int | None:
    """The seed that the header of a weight file names, if it does.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    meta = read_meta(path)
    places = (meta, meta.get("metrics", {}), meta.get("metrics", {}).get("plan", {}))
    return next((int(place["seed"]) for place in places if "seed" in place), None)


def milliseconds(call: Callable[[T], object], inputs: Iterable[T], warm_up: int = 3) -> list[float]:
    """Of this thread's processor time, for ``call`` on each of ``inputs`` after the first ``warm_up``.

    Processor time, and the least of `TIMES`: what else the machine does only adds to it. Torch must use one
    thread.
    """
    spent = []
    for number, item in enumerate(inputs):
        least = min(_seconds(call, item) for _ in range(TIMES))
        if number >= warm_up:
            spent.append(1e3 * least)
    return spent


def _seconds(call: Callable[[T], object], item: T) -> float:
    began = time.thread_time()
    call(item)
    return time.thread_time() - began


def median_and_p95(values: Iterable[float]) -> tuple[float, float]:
    """Of ``values``, of which there must be one."""
    half, most = np.percentile(list(values), (50, 95))
    return float(half), float(most)
