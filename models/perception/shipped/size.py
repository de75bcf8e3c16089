"""How large the set of weights is that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.perception.shipped.figures import OURS, Figure, Say, Target

PART = "size"
ALL, TEXT = Target(45.0, at_most=True), Target(25.0, at_most=True)
EVERY, WORDS = "all", "text encoder and tokenizer"
SUFFIXES = (".safetensors", ".json")


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """The megabytes (1e6 bytes) of every file, and of all together; ``data`` is not read.

    Raises:
        ValueError: there are none.
    """
    say("sizes")
    sizes = {p.name: p.stat().st_size / 1e6 for p in sorted(weights.glob("*")) if p.suffix in SUFFIXES}
    if not sizes:
        raise ValueError(f"{weights}: no weights there")
    text = sum(size for name, size in sizes.items() if name.startswith("text."))
    for name, megabytes in (*sizes.items(), (WORDS, text), (EVERY, sum(sizes.values()))):
        yield Figure(
            part=PART,
            dataset="none",
            model=OURS,
            protocol=name,
            metric="MB",
            value=megabytes,
            n=len(sizes) if name == EVERY else 1,
            target={EVERY: ALL, WORDS: TEXT}.get(name),
        )
