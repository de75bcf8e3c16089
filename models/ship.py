"""Put one trained seed into the folder that ships: ``python -m models.ship --seed 0``.

The tensors are copied bit by bit; only the facts in the headers are completed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from models import command
from models.checkpoint import FORMAT, WEIGHTS, digest, read_meta
from models.train_meld import facts


def copy(source: Path, target: Path, more: dict[str, Any]) -> None:
    """``source`` as ``target`` with ``more`` facts in its header."""
    meta = {**read_meta(source), **more}
    raw = source.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header["__metadata__"] = {"format": FORMAT, "lmam": json.dumps(meta, sort_keys=True)}
    new = json.dumps(header, separators=(",", ":")).encode()
    new += b" " * (-len(new) % 8)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(len(new).to_bytes(8, "little") + new + raw[8 + size :])


def rows(path: Path, experiment: str, seed: int) -> list[dict[str, Any]]:
    """The rows of ``path`` of that experiment and seed, the newest last."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [r for r in found if r["experiment"] == experiment and r["seed"] == seed]


def ship(run: Path, seed: int, results: Path, weights: Path = WEIGHTS) -> None:
    """Copy the encoder, its tokenizer and, where it is finished, the fusion of ``seed`` into ``weights``."""
    text = run / "text.safetensors"
    first = [r for r in rows(results, "meld", seed) if r["variant"] == "full"]
    metrics = {k: first[-1][k] for k in ("dev", "test", "test_noisy")} if first else {}
    copy(text, weights / "text.safetensors", {**facts(), **read_meta(text), "seed": seed, "metrics": metrics})
    tokenizer = text.with_suffix(".tokenizer.json")
    (weights / tokenizer.name).write_bytes(tokenizer.read_bytes())
    fusion = run / "fusion.safetensors"
    if fusion.exists():
        copy(fusion, weights / "fusion.safetensors", {})


def ship_fusion(run: Path, weights: Path = WEIGHTS) -> None:
    """Copy the fusion in ``run`` into ``weights``, beside the encoder that is there.

    Raises:
        ValueError: it was trained beside another text encoder.
    """
    fusion, text = run / "fusion.safetensors", weights / "text.safetensors"
    own = read_meta(fusion).get("encoders", {}).get("text")
    if own != digest(text):
        raise ValueError(f"{fusion}: was trained beside the text encoder {own}, {text} is another")
    copy(fusion, weights / fusion.name, {})


def main(argv: list[str] | None = None) -> int:
    """Ship one seed; its exit code is that of `models.command.run`."""
    root = Path(__file__).parent.parent
    parser = argparse.ArgumentParser(prog="python -m models.ship", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the seed with the best dev score")
    parser.add_argument("--out", type=Path, default=root / "runs" / "meld", help="the folder of the runs")
    parser.add_argument("--results", type=Path, default=root / "results" / "meld.jsonl")
    parser.add_argument(
        "--fusion", action="store_true", help="the fusion alone, as models.train fusion --refit leaves it"
    )
    args = parser.parse_args(argv)
    run = args.out / "full" / f"seed{args.seed}"
    return command.run(lambda: ship_fusion(run) if args.fusion else ship(run, args.seed, args.results))


if __name__ == "__main__":
    sys.exit(main())
