"""What hearing a voice costs on one core: every clip in chunks as it comes live, with a reading every second.

    OMP_NUM_THREADS=1 python -m benchmarks.voice [--data DIR] [--every N]

Needs soundfile (the extra ``train`` or ``dev``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from models.data.corpus import DataError
from models.data.speech import clips, sounds
from models.encoders.voice import VoiceNet
from models.perception.shipped.voice import EVERY, cost

RAVDESS = Path(__file__).parents[2] / "shared" / "data" / "ravdess"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=RAVDESS, help="folder of RAVDESS, with manifest.csv")
    parser.add_argument("--every", type=int, default=EVERY, metavar="N", help="take every N-th clip only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        share, ends = cost(VoiceNet.load(), sounds(args.data, clips(args.data)[:: args.every]))
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    p50, p95 = np.percentile(ends, (50, 95))
    print(f"{share:.2f} % of real time on one core, over {len(ends)} clips; the reading at the end")
    print(f"{p50:.1f} ms (median), {p95:.1f} ms (p95)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
