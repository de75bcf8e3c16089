"""What reading an utterance's words costs on one core, and what int8 arithmetic would make of it.

    OMP_NUM_THREADS=1 python -m benchmarks.words

The encoder that ships, in a conversation (the last tokens are remembered), in floats as it runs and with its
linear layers in int8 (torch.ao.quantization, which torch has declared deprecated), side by side in one run.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from models.encoders.text import TextEncoder
from models.perception.shipped.figures import milliseconds

SAID = (
    "Good morning. Is there any mail today?",
    "Yes, it is on the table next to the lamp.",
    "You have got to be kidding me, that is great news!",
    "I really do not know what to say about it today.",
)


def int8(encoder: TextEncoder) -> TextEncoder:
    """``encoder`` with dynamically quantised linear layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.ao.quantization.quantize_dynamic(encoder.net, {nn.Linear}, torch.qint8)
    return TextEncoder(net, encoder.tokenizer, encoder.meta)


def read(encoder: TextEncoder, rounds: int) -> tuple[list[float], Tensor]:
    """Milliseconds of each step, and the features of each of `SAID` after those before it ``[n, D]``."""
    memory, said, rows = encoder.start(), [], []
    for i, text in enumerate(SAID):
        said.append((text, i % 2, memory))
        row_D, memory = encoder.step(*said[-1])
        rows.append(row_D)
    return milliseconds(lambda given: encoder.step(*given), said * rounds), torch.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="times that all is read (default: 20)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    floats = TextEncoder.load()
    encoders = {"floats, as it ships": floats, "int8": int8(floats)}
    found = {name: read(encoder, args.rounds) for name, encoder in encoders.items()}
    _, want_ND = found["floats, as it ships"]
    out = Table("arithmetic", "ms an utterance, p50", "p95", "cosine with floats, least", title="one core")
    for name, (spent, rows_ND) in found.items():
        p50, p95 = np.percentile(spent, (50, 95))
        cosine = torch.cosine_similarity(rows_ND, want_ND).min()
        out.add_row(name, f"{p50:.1f}", f"{p95:.1f}", f"{cosine:.4f}")
    Console().print(out)


if __name__ == "__main__":
    main()
