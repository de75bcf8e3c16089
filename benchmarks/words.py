"""What reading an utterance's words costs on one core, and what int8 arithmetic would make of it.

    OMP_NUM_THREADS=1 python -m benchmarks.words

The encoder that ships, in a conversation (the last tokens are remembered), in floats as it runs and with its
linear layers in int8 (torch.ao.quantization, which torch has declared deprecated), side by side in one run.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from models.encoders.text import TextEncoder

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


def read(encoder: TextEncoder, times: int) -> tuple[list[float], Tensor]:
    """Milliseconds of each step, and the features of the first round ``[len(SAID), D]``."""
    memory, spent, rows = encoder.start(), [], []
    for i in range(times):
        began = time.thread_time()
        row_D, memory = encoder.step(SAID[i % len(SAID)], i % 2, memory)
        spent.append(1e3 * (time.thread_time() - began))
        rows.append(row_D)
    return spent[len(SAID) :], torch.stack(rows[: len(SAID)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=204, help="utterances read by each (default: 204)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    floats = TextEncoder.load()
    encoders = {"floats, as it ships": floats, "int8": int8(floats)}
    for encoder in encoders.values():
        read(encoder, 8)
    found = {name: read(encoder, args.times) for name, encoder in encoders.items()}
    _, want_ND = found["floats, as it ships"]
    out = Table("arithmetic", "ms an utterance, p50", "p95", "cosine with floats, least", title="one core")
    for name, (spent, rows_ND) in found.items():
        p50, p95 = np.percentile(spent, (50, 95))
        cosine = torch.cosine_similarity(rows_ND, want_ND).min()
        out.add_row(name, f"{p50:.1f}", f"{p95:.1f}", f"{cosine:.4f}")
    Console().print(out)


if __name__ == "__main__":
    main()
