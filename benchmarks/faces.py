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
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, as the command does

import torch
from latency import SAMPLE, machine
from rich.console import Console
from rich.table import Table

from streamer.bench.faces import HEIGHT, PARTS, detectors, films, measure, summary, yunet
from streamer.encoders.face import Config


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with talking_faces/ (and weights/yunet/)")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file; default: where it was pulled to")
    parser.add_argument("--height", type=int, default=HEIGHT, help="of the pictures, in pixels")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    load, config = os.getloadavg()[0], Config()
    shown = {"sample": [SAMPLE]}
    if args.data:
        try:
            shown["talking faces"] = films(args.data)
        except ValueError as error:
            raise SystemExit(str(error)) from error
    results = {
        f"{what}, {name}": summary(measure(paths, make, args.height, config))
        for what, paths in shown.items()
        for name, make in detectors(config, args.yunet or yunet(args.data)).items()
    }
    show(results, args.height, load)
    if args.json:
        report = {"machine": machine(), "height": args.height, "load": load, "results": results}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
