"""Voices are told apart where nothing else tells who speaks, and the speaker encoder is on this disk."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..context import Context
from ..errors import StreamerError
from ..pipeline import Speakers

log = logging.getLogger(__name__)
PACKAGE = "resemblyzer"


class Config(BaseModel):
    """As kind voice, where it can."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Path | None = Field(
        None, description="the speaker encoder's pretrained.pt; default: that of the package resemblyzer"
    )
    max_speakers: int = Field(8, ge=1, le=32, description="voices at most; one more goes to the most alike")
    split: bool = Field(True, description="cut an utterance where another voice goes on")
    enrolled: bool = Field(False, description="know the people again who were enrolled (lmam enroll)")

    def build(self, context: Context) -> Speakers | None:
        """The stage; None where a transcript or the channels tell who speaks, or no encoder is there.

        Raises:
            EncodeError: ``weights`` are named, or people are to be known again, and that cannot be.
        """
        asked = self.weights is not None or self.enrolled
        if context.channels > 1 or context.tagged:
            return None
        if not asked and importlib.util.find_spec(PACKAGE) is None:
            return None
        from . import voice

        try:
            return voice.Config(**self.model_dump()).build(context)
        except StreamerError as error:
            if asked:
                raise
            log.warning("%s", error)  # damaged: better one speaker than none
            return None
