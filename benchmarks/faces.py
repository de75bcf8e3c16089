"""What the face path costs a picture: detector, following and cutting, network; on this machine, one thread.

    python benchmarks/faces.py [--data ../shared/data] [--yunet FILE] [--height 720] [--json FILE]

Pictures: the bundled sample's and, with --data, those of ``talking_faces``, each scaled to the height of a
camera (720 by default) and given to the same stage as in a run, at the rate at which it searches pictures
(`face.fps`). Times are those of this thread on the processor, so that a busy machine does not change them
much; the one for a picture without a face holds the detector's search of all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, as the command does

import av
import cv2
import numpy as np
import torch
from latency import SAMPLE, machine
from rich.console import Console
from rich.table import Table

from models.encoders.face import FaceNet
from streamer.encoders.face import Config, FaceEncoder
from streamer.faces.detect import Detector, Haar, YuNet
from streamer.types import FaceSample, Picture, VideoFrame
from streamer.weights import find

PARTS = ("detector", "following and cutting", "network", "all")


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


def figures(costs: Costs) -> dict[str, Any]:
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


def show(results: dict[str, dict[str, Any]], height: int, load: float) -> None:
    table = Table(
        title=f"milliseconds a picture of {height} lines, mean (p95), one thread",
        caption=f"{machine()}; load average {load:.1f}",
    )
    for name in ("pictures, detector", *PARTS, "a second", "pictures", "with a face"):
        table.add_column(name, justify="left" if name == "pictures, detector" else "right")
    for name, r in results.items():
        table.add_row(
            name,
            *(f"{r['ms'][part]['mean']:.1f} ({r['ms'][part]['p95']:.1f})" for part in PARTS),
            f"{r['pictures_per_second']:.0f}",
            str(r["pictures"]),
            f"{r['with_a_face']:.0%}",
        )
    Console(width=110).print(table)


def detectors(config: Config, yunet: Path | None) -> dict[str, Callable[[], Detector]]:
    """What can find faces here."""
    found: dict[str, Callable[[], Detector]] = {"Haar": lambda: Haar(config.min_size)}
    if yunet is not None:
        found["YuNet"] = lambda: YuNet(yunet, config.min_size)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with talking_faces/ (and weights/yunet/)")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file; default: where it was pulled to")
    parser.add_argument("--height", type=int, default=720, help="of the pictures, in pixels")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    load, config = os.getloadavg()[0], Config()
    films = {"sample": [SAMPLE]}
    if args.data:
        folder = args.data / "talking_faces"
        films["talking faces"] = sorted(p for p in folder.glob("*") if p.suffix in (".mpg", ".mp4", ".mov"))
        if not films["talking faces"]:
            raise SystemExit(f"{folder}: no films there")
    beside = sorted(args.data.glob("weights/yunet/*.onnx")) if args.data else []
    yunet = args.yunet or find("yunet") or next(iter(beside), None)
    results = {
        f"{what}, {name}": figures(measure(paths, make, args.height, config))
        for what, paths in films.items()
        for name, make in detectors(config, yunet).items()
    }
    show(results, args.height, load)
    if args.json:
        report = {"machine": machine(), "height": args.height, "load": load, "results": results}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
