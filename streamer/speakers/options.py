"""What can be set where voices are told apart; by itself, so that naming a kind does not import the work."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Which voices can be told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Path | None = Field(
        None, description="the speaker encoder's pretrained.pt; default: that of the package resemblyzer"
    )
    max_speakers: int = Field(8, ge=1, le=32, description="voices at most; one more goes to the most alike")
    split: bool = Field(True, description="cut an utterance where another voice goes on")
    enrolled: bool = Field(False, description="know the people again who were enrolled (lmam enroll)")
