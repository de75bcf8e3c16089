"""Fit the temperatures of the fusion that ships anew: ``python -m models.calibrate --data ../shared/data``.

One for each subset of the modalities, on MELD dev; with a face, on SYNTHETIC pairs with FER+ valid faces;
with a voice, half on SYNTHETIC pairs with valid clips of RAVDESS and EmoDB, where the fusion reads the voice
network. The tensors stay as they are, bit by bit; only the facts in the file's header change.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from models import command
from models.calibration import Temperatures
from models.checkpoint import WEIGHTS
from models.evaluate import shipped
from models.fusion_measures import calibrated
from models.ship import copy
from models.whole import whole

log = logging.getLogger("models.calibrate")


def calibrate(data: Path, weights: Path = WEIGHTS) -> Temperatures:
    """Fit the temperatures of the fusion in ``weights`` and write them into its header.

    Raises:
        ValueError, CheckpointError: as `models.evaluate.shipped`.
    """
    s = shipped(data, weights, "dev")
    temperatures = calibrated(s.fusion.net, s.bank, s.faces, s.voiced)
    path = weights / "fusion.safetensors"
    with whole(path) as part:
        copy(path, part, {"config": {**s.fusion.meta["config"], "temperatures": temperatures.table()}})
    return temperatures


def main(argv: list[str] | None = None) -> int:
    """Fit, write and print; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.calibrate", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that holds meld/, ferplus/, ravdess/, ..."
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of the weight files")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    return command.run(lambda: _calibrate(args))


def _calibrate(args: argparse.Namespace) -> None:
    for name, value in calibrate(args.data, args.weights).table().items():
        log.info("%s: %.3f", name, value)


if __name__ == "__main__":
    sys.exit(main())
