"""What the face path costs a picture: detector, following and cutting, network; on one thread.

Films are scaled to the height of a camera and given to the same stage as in a run, at the rate at which it
searches pictures (`face.fps`). Times are processor time of this thread, so that a busy machine does not
change them much; the one for a picture without a face holds the detector's search of all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from models.encoders.face import FaceNet
from models.perception.shipped.figures import OURS, Figure, Say, Target, seed_of

from ..encoders.face import Config, FaceEncoder
from ..faces.detect import Detector, Haar, YuNet
from ..types import FaceSample, Picture, VideoFrame
from ..weights import find

PART = "face"
HEIGHT = 720  # pixels
FAST = Target(25.0)  # pictures a second
PARTS = ("detector", "following and cutting", "network", "all")


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Pictures a second of 720 lines with each detector that is here, over the films of ``talking_faces``.

    Raises:
        ValueError: there are none. CheckpointError: the weights are missing or damaged.
    """
    path = weights / "face.safetensors"
    config = Config(weights=path)
    for name, make in detectors(config, yunet(data)).items():
        say(f"faces in pictures of {HEIGHT} lines, {name}")
        found = summary(measure(films(data), make, HEIGHT, config))
        yield Figure(
            part=PART,
            dataset="talking_faces",
            model=f"{OURS}, {name}",
            protocol=f"{HEIGHT} lines, one core, detector included",
            metric="pictures a second",
            value=found["pictures_per_second"],
            n=found["pictures"],
            target=FAST,
            seed=seed_of(path),
        )


def films(data: Path) -> list[Path]:
    """Those of ``talking_faces``.

    Raises:
        ValueError: there are none.
    """
    folder = data / "talking_faces"
    found = sorted(p for p in folder.glob("*") if p.suffix in (".mpg", ".mp4", ".mov"))
    if not found:
        raise ValueError(f"{folder}: no films there; --data names the folder that holds talking_faces/")
    return found


def yunet(data: Path | None) -> Path | None:
    """YuNet's file: where it was pulled to, else below ``data``; None where it is in neither."""
    beside = sorted(data.glob("weights/yunet/*.onnx")) if data else []
    return find("yunet") or next(iter(beside), None)


@dataclass
class Watch:
    """Calls ``inner`` and adds up the milliseconds spent in ``timed``, picture by picture."""

    inner: Any
    timed: str
    spent: float = 0.0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        return self._timed(value) if name == self.timed else value

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **options)
            finally:
                self.spent += 1e3 * (time.thread_time() - began)

        return timed

    def take(self) -> float:
        spent, self.spent = self.spent, 0.0
        return spent


@dataclass
class Costs:
    """Milliseconds of each picture, by part; ``faces`` believed in each."""

    rows: list[tuple[float, float, float, float]] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)


def pictures(path: Path, height: int, fps: float) -> Iterator[Picture]:
    """``fps`` pictures a second of ``path``, ``height`` pixels high."""
    slot = -1
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if int((frame.time or 0.0) * fps) != slot:
                slot = int((frame.time or 0.0) * fps)
                bgr = frame.to_ndarray(format="bgr24")
                size = (round(bgr.shape[1] * height / bgr.shape[0]), height)
                yield np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


def measure(films: Sequence[Path], detector: Callable[[], Detector], height: int, config: Config) -> Costs:
    """The cost of every picture of ``films``, each seen by a stage of its own."""
    costs = Costs()
    network = Watch(FaceNet.load(config.weights, "cpu"), "embed")
    for film in films:
        finder = Watch(detector(), "find")
        stage = FaceEncoder(config, network, finder)  # type: ignore[arg-type]
        for i, bgr in enumerate(pictures(film, height, config.fps)):
            began = time.thread_time()
            made = list(stage.push(VideoFrame(bgr, (i + 0.5) / config.fps)))
            total = 1e3 * (time.thread_time() - began)
            searched, read = finder.take(), network.take()
            costs.rows.append((searched, total - searched - read, read, total))
            costs.faces.append(sum(isinstance(item, FaceSample) for item in made))
    return costs


def summary(costs: Costs) -> dict[str, Any]:
    """Pictures and faces; mean, median and 95th percentile of each part; pictures a second on one thread."""
    rows = np.array(costs.rows)
    found = np.array(costs.faces) > 0
    ms = {
        part: {"mean": float(v.mean()), "p50": float(np.median(v)), "p95": float(np.percentile(v, 95))}
        for part, v in zip(PARTS, rows.T, strict=True)
    }
    return {
        "pictures": len(rows),
        "with_a_face": float(found.mean()),
        "pictures_per_second": 1e3 / float(rows[:, 3].mean()),
        "pictures_per_second_with_a_face": 1e3 / float(rows[found, 3].mean()) if found.any() else None,
        "ms": ms,
    }


def detectors(config: Config, yunet: Path | None) -> dict[str, Callable[[], Detector]]:
    """What can find faces here."""
    found: dict[str, Callable[[], Detector]] = {"Haar": lambda: Haar(config.min_size)}
    if yunet is not None:
        found["YuNet"] = lambda: YuNet(yunet, config.min_size)
    return found
