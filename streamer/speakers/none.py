"""Nobody tells voices apart: speakers are those of the sound channels or of a transcript, else one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..context import Context


class Config(BaseModel):
    """Nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def build(self, context: Context) -> None:
        return None
