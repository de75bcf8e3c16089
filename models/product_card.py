"""The model card of what `models.train_product` makes, with the figures of the shipped set beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.checkpoint import WEIGHTS, CheckpointError, read_meta
from models.data.goemotions import EKMAN

MEASURES = ("weighted_f1", "macro_f1", "accuracy", "ece")

CARD = """# {name}: words to seven labels, for commercial use too

| | |
|---|---|
| what | `text.safetensors`: MiniLM, fine-tuned, int8; `fusion.safetensors`: the conversation model |
| reads | words; voice and face are not read, and no face network is needed |
| gives | {labels} |
| made by | `python -m models.train_product --data ../shared/data --out DIR` |
| trained on | {data}; {sentences:,} sentences, {epochs} epoch(s), seed {seed} |
| licences | {licences} |
| commercial use | {commercial_use} |
| version | {version} |

**Intended use.** An observer's reading of the expression in what is said, never a person's inner state, never
a decision about a person; not for workplaces and schools.

**Labels.** The 28 of GoEmotions in the groups of its authors: {groups}; neutral is neutral. Sentences
whose labels belong to several groups are left out, in the figures as well.

**Figures.** Words alone, this set as it is stored. MELD is never trained on: what is measured there is how
far Reddit comments carry, with what was said before as context, as live, unless a row says otherwise.

| | weighted F1 | macro F1 | accuracy | ECE |
|---|---|---|---|---|
{rows}

**Limits.** Comments are written, and each stands alone: the set learnt nothing of what an utterance means in
its conversation. English only. What it says of groups of people was not audited.
"""


def card(facts: Mapping[str, Any]) -> str:
    """Markdown; ``facts`` are those of the fusion's header."""
    rows = [_row(name, row) for name, row in facts["metrics"].items()]
    return CARD.format(
        **{k: facts[k] for k in ("name", "sentences", "epochs", "seed", "commercial_use", "version")},
        labels=", ".join(facts["labels"]),
        data="; ".join(facts["data"]),
        licences="; ".join(f"{data}: {licence}" for data, licence in facts["data_licences"].items()),
        groups="; ".join(f"{name} ({', '.join(labels)})" for name, labels in EKMAN.items()),
        rows="\n".join([*rows, *_shipped()]),
    )


def _row(name: str, row: Mapping[str, float]) -> str:
    cells = [f"{row[m]:.3f}" if m == "ece" else f"{row[m]:.1f}" for m in MEASURES]
    return f"| {name} | {' | '.join(cells)} |"


def _shipped() -> list[str]:
    """What the set that ships, trained on MELD, says of its words alone; nothing where it is not there."""
    try:
        found = read_meta(WEIGHTS / "fusion.safetensors")["metrics"]["text"]
    except (CheckpointError, KeyError):
        return []
    return [_row("MELD test, the set that ships (trained on MELD, not for commercial use)", found)]
