"""What a fusion says of every subset of the modalities, and how sure it may be: logits, temperatures, scores.

Shape suffixes: N utterances, M modalities, D text features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models import batches
from models.calibration import PRESENT, Temperatures, fit_temperature, probabilities
from models.dialogue import MODALITIES
from models.fusion_data import Bank, Smiled, plain
from models.hosts.gru import GruLmam
from models.metrics import scores

SUBSETS = {
    "text+voice": (True, True, False),
    "text": (True, False, False),
    "voice": (False, True, False),
    "face (synthetic)": (False, False, True),
    "text+face (synthetic)": (True, False, True),
    "voice+face (synthetic)": (False, True, True),
    "all (synthetic)": (True, True, True),
}
SPOKEN = {
    "synthetic voice": (False, True, False),
    "text+synthetic voice": (True, True, False),
    "synthetic voice+face": (False, True, True),
    "text+synthetic voice+face": (True, True, True),
}  # rows in which the voices are synthetic, too
AFTER = ("words, no face before", "words after smiles (synthetic)")
FACE = MODALITIES.index("visual")
PLAIN = "plain words+synthetic voice"  # the words are those of utterances labelled neutral


@torch.no_grad()
def predict(
    net: GruLmam,
    of: Bank,
    masks: tuple[bool, bool, bool] = (True, True, False),
    *,
    visual: Sequence[Tensor] | None = None,
    seen: Sequence[Tensor] | None = None,
    noisy_text: bool = False,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits ``[N, C]`` and labels ``[N]`` of what has a label, with the modalities ``masks`` (text, voice,
    face) allowed; faces are in the picture where ``seen`` (bool ``[N]`` of each) says so, or everywhere.

    Utterances left without any modality are given too: live, the estimate is the context's.
    """
    net.eval()
    logits, labels = [], []
    text = of.noisy if noisy_text else of.gold
    if noise is not None:
        generator = torch.Generator().manual_seed(0)
        text = [t + noise * torch.randn(t.shape, generator=generator) for t in text]
    for i in range(0, len(of.examples), 64):
        rows = slice(i, i + 64)
        group = of.examples[rows]
        present = [batches.presence(e, text=masks[0], audio=masks[1], visual=masks[2]) for e in group]
        if seen is not None:
            for present_NM, seen_N in zip(present, seen[rows], strict=True):
                present_NM[:, FACE] &= seen_N
        shown = visual[rows] if visual and masks[FACE] else None
        c = net.config
        dialogue, labels_BN = batches.collate(group, text[rows], present, shown, c.visual, c.voice)
        known_BN = dialogue.valid_BN & (labels_BN >= 0)
        logits.append(net(dialogue)[known_BN])
        labels.append(labels_BN[known_BN])
    return torch.cat(logits), torch.cat(labels)


def calibrated(net: GruLmam, dev: Bank, visual: Sequence[Tensor], voiced: Bank | None = None) -> Temperatures:
    """The temperature of every subset of the modalities, each fitted on ``dev`` with those alone.

    Where the voice is one of them, ``voiced`` (``dev`` with synthetic voices) counts as much as ``dev``: the
    one has no embedding, live has one. What the context alone says, where an utterance has none of them,
    gets that of words and voice: it is never published as more than an abstention.
    """

    def fit(masks: tuple[bool, bool, bool]) -> float:
        both = (dev, voiced) if voiced is not None and masks[1] else (dev,)
        logits, labels = zip(*(predict(net, b, masks, visual=visual) for b in both), strict=True)
        return fit_temperature(torch.cat(logits), torch.cat(labels))

    fitted = {name: fit(masks) for name, masks in PRESENT.items() if any(masks)}
    return Temperatures.of({"none": fitted["text+audio"], **fitted})


def subsets(
    net: GruLmam,
    of: Bank,
    visual: Sequence[Tensor],
    temperatures: Temperatures | None = None,
    voiced: Bank | None = None,
) -> dict[str, Any]:
    """`models.metrics.scores` of every subset of the modalities, and of noisy text.

    With ``voiced``, ``of`` with synthetic voices, also of the subsets with such a voice, and of that voice
    beside words that say nothing.
    """
    t = temperatures or Temperatures.same(1.0)
    rows = [(name, masks, of) for name, masks in SUBSETS.items()]
    if voiced is not None:
        rows += [(name, masks, voiced) for name, masks in SPOKEN.items()]
        rows.append((PLAIN, SUBSETS["text+voice"], plain(voiced, seed=0)))
    out = {}
    for name, masks, bank_ in rows:
        logits, labels = predict(net, bank_, masks, visual=visual)
        out[name] = scores(probabilities(logits, t.at(torch.tensor(masks))), labels)
    logits, labels = predict(net, of, noisy_text=True)
    both = t.at(torch.tensor(SUBSETS["text+voice"]))
    out["noisy text+voice"] = scores(probabilities(logits, both), labels)
    return out


def after_smiles(net: GruLmam, of: Smiled, temperatures: Temperatures) -> dict[str, dict[str, float]]:
    """`models.metrics.scores` of words alone, with no face in the conversation, and after smiles that left:
    how long a fusion holds on to what it sees no more."""
    t, words = temperatures.at(torch.tensor(SUBSETS["text"])), SUBSETS["text"]
    none = predict(net, of.bank, words)
    left = predict(net, of.bank, SUBSETS["text+face (synthetic)"], visual=of.visual, seen=of.seen)
    return {
        name: scores(probabilities(logits, t), labels)
        for name, (logits, labels) in zip(AFTER, (none, left), strict=True)
    }
