"""No words: voice and face only."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from ..context import Context
from ..types import Utterance
from .guards import Finals


class Config(BaseModel):
    """Nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def build(self, context: Context) -> Silent:
        return Silent()


class Silent:
    """Stage: utterances pass as they are."""

    name = "none"
    min_confidence = 0.0

    def __init__(self) -> None:
        self._finals = Finals()

    def push(self, utterance: Utterance) -> Iterator[Utterance]:
        if utterance.segment is None or not self._finals.late(utterance.segment):
            yield utterance

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        """Nothing is ever under way."""
