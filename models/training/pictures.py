"""An evaluation as pictures: confusion matrix and reliability diagram (PNG)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from models.training.config import TrainingError
from models.training.engine import need
from models.training.evaluate import Evaluation

BLUE, GREY, DARK = "#2a6fb0", "#b8bec6", "#22303c"


def draw(evaluation: Evaluation, folder: Path, title: str) -> tuple[Path, Path]:
    """Write ``confusion.png`` and ``reliability.png`` into ``folder``.

    Raises:
        TrainingError: matplotlib is not installed, or ``folder`` cannot be written.
    """
    need("matplotlib")
    paths = folder / "confusion.png", folder / "reliability.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _confusion(evaluation, title).savefig(paths[0], dpi=150, bbox_inches="tight")
        _reliability(evaluation, title).savefig(paths[1], dpi=150, bbox_inches="tight")
    except OSError as error:
        raise TrainingError(f"--out {folder}: pictures cannot be written there ({error.strerror})") from error
    return paths


def _figure(width: float, height: float) -> Any:
    """Drawn straight to a file: no window, no state shared with other figures."""
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(width, height))
    importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def _confusion(evaluation: Evaluation, title: str) -> Any:
    labels, counts = evaluation.labels, evaluation.confusion
    size = 1.8 + 0.62 * len(labels)
    figure = _figure(size + 0.6, size)
    axes = figure.add_subplot()
    shares = [[100 * n / max(1, sum(row)) for n in row] for row in counts]
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            ink = "white" if shares[i][j] > 55 else DARK
            axes.text(j, i, f"{shares[i][j]:.0f}\n({n})", ha="center", va="center", color=ink, fontsize=7)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), [f"{c.label} ({c.n})" for c in evaluation.classes])
    axes.set_xlabel("said")
    axes.set_ylabel("label")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{title}\nweighted F1 {evaluation.scores['weighted_f1']:.1f}", fontsize=10, color=DARK)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("percent of the label")
    bar.outline.set_visible(False)
    return figure


def _reliability(evaluation: Evaluation, title: str) -> Any:
    figure = _figure(4.6, 5.2)
    top, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.08})
    middle = [(b.low + b.high) / 2 for b in evaluation.bins]
    width = 0.9 / 15
    top.bar(middle, [b.accuracy for b in evaluation.bins], width, color=BLUE, label="accuracy")
    top.plot([0, 1], [0, 1], "--", lw=1, color=GREY, label="as confident as right")
    top.set_ylim(0, 1)
    top.set_ylabel("accuracy")
    top.legend(frameon=False, fontsize=8, loc="upper left")
    top.set_title(f"{title}\nECE {evaluation.scores['ece']:.3f}", fontsize=10, color=DARK)
    below.bar(middle, [b.n for b in evaluation.bins], width, color=GREY)
    below.set_xlim(0, 1)
    below.set_ylabel("utterances")
    below.set_xlabel("confidence")
    for axes in (top, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
