"""Recordings of several people, cut as the live graph cuts them, with the truth of who speaks when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.speech import recording as sound

from ..context import Context, Session
from ..segmenter import BLOCK, Config, Segmenter
from ..stage import run_inline
from ..types import RATE, AudioChunk, Floats, Segment
from ..vad import silero

Turn = tuple[float, float, str]  # begin and end in seconds, who


@dataclass(frozen=True, slots=True)
class Recording:
    """Sound, who speaks in it, and the segments that the detector makes of it."""

    name: str
    pcm: Floats
    turns: list[Turn]
    segments: list[Segment]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


def detector() -> Any:
    nobody = Context(session=Session(conversation="benchmark", purpose="research"), state_dir=Path())
    return silero.Config().build(nobody)


def recording(name: str, pcm: Floats, turns: list[Turn], vad: Any, every: float | None = 0.5) -> Recording:
    """With the segments of ``vad``, which makes detectors; None: of one that knows the turns."""
    marks = iter([any(a <= at / RATE < b for a, b, _ in turns) for at in range(0, len(pcm), BLOCK)])
    vad = vad or (lambda: lambda block: float(next(marks, False)))
    items = run_inline(Segmenter(vad, Config(partial_every=every)), [AudioChunk(pcm, 0.0)])
    return Recording(name, pcm, turns, [i for i in items if isinstance(i, Segment)])


def meetings(data: Path, vad: Any) -> Iterator[Recording]:
    """The recordings of ``data``/diarization, cut by ``vad``.

    Raises:
        ValueError: there are none, or one is damaged or lacks its turns.
    """
    folder = data / "diarization"
    paths = sorted(folder.glob("*.flac"))
    if not paths:
        raise ValueError(f"{folder}: no recordings there; --data names the folder that holds diarization/")
    for path in paths:
        yield recording(path.stem, sound(path), _turns(path.with_suffix(".rttm")), vad)


def _turns(path: Path) -> list[Turn]:
    try:
        fields = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields if f[:1] == ["SPEAKER"]]
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: cannot be read as RTTM ({error})") from error
