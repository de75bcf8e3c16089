"""Every part of ``lmam bench perception``, by name: who measures it, and about how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from models.perception.shipped.figures import Figure, Say

Measure = Callable[[Path, Path, Say], Iterator[Figure]]


@dataclass(frozen=True, slots=True)
class Part:
    """``modules`` export ``figures(data, weights, say)``; ``seconds``: about, on one idle core."""

    modules: tuple[str, ...]
    seconds: float

    def figures(self, data: Path, weights: Path, say: Say) -> Iterator[Figure]:
        """Raises: ValueError, CheckpointError: what is missing or damaged, and what to do."""
        for name in self.modules:
            measure: Measure = import_module(name).figures
            yield from measure(data, weights, say)


PARTS = {
    "size": Part(("models.perception.shipped.size",), 1),
    "text": Part(("models.perception.shipped.text",), 60),
    "affect": Part(("models.perception.shipped.affect",), 40),
    "voice": Part(("models.perception.shipped.voice",), 100),
    "face": Part(("models.perception.shipped.face", "streamer.bench.faces"), 40),
    "speakers": Part(("streamer.bench.speakers",), 60),
    "fusion": Part(("models.perception.shipped.fusion", "streamer.bench.acted"), 60),
}
