"""The best recogniser that is on this disk; never touches the network.

faster-whisper where its weights are; else, for a file, the transcript beside it; else PocketSphinx, with one
line that says how good it is and how to get the better one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..context import Context
from ..errors import StreamerError
from ..pipeline import Transcriber
from ..sources.sidecar import find_sidecar
from ..weights import KNOWN, find

log = logging.getLogger(__name__)

# The most accurate that keeps up, then smaller ones, then ones that may fall behind (docs/speech.md).
BEST_CPU = ("base", "base.en", "tiny", "tiny.en", "small", "small.en", "medium", "medium.en")
BEST_CUDA = ("large-v3-turbo", "large-v3", "medium", "medium.en", "small", "small.en")
FALLBACK = (
    "no usable Whisper weights on this disk: PocketSphinx listens (US English, four words in ten are wrong);"
    " for a real recogniser: lmam models pull whisper-base"
)


class Config(BaseModel):
    """What is chosen from."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    media: Path | None = Field(None, description="the file that is read, to find a transcript beside it")
    prefer_sidecar: bool = Field(False, description="take the transcript beside the file where there is one")
    model: str | None = Field(
        None, description="Whisper size, hub name or directory; default: the best that is on this disk"
    )
    language: str | None = Field(None, description="language code such as en; default: detected")
    threads: int = Field(2, ge=1, le=64, description="processor threads of the recogniser")
    partials: bool = Field(True, description="recognise while speech goes on")
    min_confidence: float | None = Field(
        None, ge=0, le=1, description="words below this are not used; default: the recogniser's own"
    )

    def build(self, context: Context) -> Transcriber:
        """The stage chosen.

        Raises:
            ConfigError: ``model`` names one that is not on this disk.
            CaptureError: the transcript beside the file cannot be read.
            TranscribeError: no recogniser can be loaded.
        """
        sidecar = find_sidecar(self.media) if self.media is not None else None
        if sidecar is not None and self.prefer_sidecar:
            return self._sidecar(sidecar, context)
        whisper = self._whisper(context)
        if whisper is not None:
            return whisper
        return self._pocketsphinx(context) if sidecar is None else self._sidecar(sidecar, context)

    def _sidecar(self, path: Path, context: Context) -> Transcriber:
        from . import sidecar

        return sidecar.Config(path=path, language=self.language, **self._threshold()).build(context)

    def _whisper(self, context: Context) -> Transcriber | None:
        model = self.model or installed(context.device)
        if model is None:
            return None
        from . import faster_whisper

        options = {"language": self.language, "threads": self.threads, "partials": self.partials}
        try:
            return faster_whisper.Config(model=model, **options, **self._threshold()).build(context)
        except StreamerError as error:
            if self.model is not None:
                raise
            log.warning("%s", error)  # damaged: better poor words than none
            return None

    def _pocketsphinx(self, context: Context) -> Transcriber:
        from . import pocketsphinx

        log.warning("%s", FALLBACK)
        context.notices.set("transcriber", FALLBACK)
        return pocketsphinx.Config(partials=self.partials, **self._threshold()).build(context)

    def _threshold(self) -> dict[str, float]:
        return {} if self.min_confidence is None else {"min_confidence": self.min_confidence}


def installed(device: str) -> str | None:
    """The Whisper size in the weights folder that suits ``device`` best, or None."""
    order = (*(BEST_CUDA if device == "cuda" else ()), *BEST_CPU)
    others = (name.removeprefix("whisper-") for name in KNOWN if name.startswith("whisper-"))
    return next((size for size in (*order, *others) if find(f"whisper-{size}")), None)
