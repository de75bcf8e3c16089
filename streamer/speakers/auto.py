"""Voices are told apart where nothing else tells who speaks, and the speaker encoder is on this disk."""

from __future__ import annotations

import importlib.util
import logging

from ..context import Context
from ..errors import StreamerError
from ..pipeline import Speakers
from .options import Options

log = logging.getLogger(__name__)
PACKAGE = "resemblyzer"


class Config(Options):
    """As kind voice, where it can."""

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
