"""Any host with any fusion: the one model of which every row of a table is a configuration.

    inputs: a linear map of each modality to width D, with the speaker
    early:           head(host(fusion(x)))               the fused row is the host's one stream
    early-residual:  head(host(fusion(x) + sum of x))
    late:            head(fusion(host(x)))               the host has a stream for each modality

(the three placements of LMAM's figure, Shou et al., arXiv 2306.17799). Two models that differ in ``fusion``
alone share every other parameter, drawn from the same random numbers.

Shape suffixes: B conversations, N utterances, M modalities of the model, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import fusions, hosts
from models.dialogue import MODALITIES, Dialogue, Turn
from models.masks import present_only
from models.span import Span
from models.state import State

PLACEMENTS = ("early", "early-residual", "late")
OWN = frozenset(("streams", "modalities", "dim", "span", "speakers", "dropout"))  # no options of a part


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and parts. ``sizes`` maps modality to width; ``dropout`` is 0..1; options go to the parts."""

    sizes: Mapping[str, int]
    classes: int
    host: str = "speaker-gru"
    fusion: str = "lmam"
    placement: str = "late"
    span: Span = field(default_factory=Span)
    dim: int = 128
    speakers: int = 8
    dropout: float = 0.2
    host_options: Mapping[str, Any] = field(default_factory=dict)
    fusion_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `MODALITIES` that have a width, in that order."""
        return tuple(m for m in MODALITIES if self.sizes.get(m))


class ConversationModel(nn.Module):
    """`Steppable` over `Dialogue` and `Turn` where the span can be stepped.

    Raises:
        ValueError: an unknown part, option, modality or placement, or sizes that a part cannot have.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = self.config = config
        unknown = set(c.sizes) - set(MODALITIES)
        if unknown or not c.modalities:
            raise ValueError(f"sizes {dict(c.sizes)}: one or more of {', '.join(MODALITIES)} with a width")
        for name, n in (*c.sizes.items(), ("dim", c.dim), ("classes", c.classes), ("speakers", c.speakers)):
            if not isinstance(n, int) or n < (name not in c.sizes):  # a modality of width 0 is absent
                raise ValueError(f"{name} {n!r}: expected a whole number from 1 on")
        if c.placement not in PLACEMENTS:
            raise ValueError(f"no placement {c.placement!r}; there are {', '.join(PLACEMENTS)}")
        for part, options in (("host", c.host_options), ("fusion", c.fusion_options)):
            if taken := sorted(OWN & options.keys()):
                raise ValueError(f"{part}_options: {taken[0]!r} is the model's own, no option of its {part}")
        m = len(c.modalities)
        self.which = [MODALITIES.index(name) for name in c.modalities]
        widths = [c.sizes[name] for name in c.modalities]
        self.maps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(w), nn.Linear(w, c.dim)) if w > 16 else nn.Linear(w, c.dim)
            for w in widths
        )
        self.speaker = nn.Embedding(c.speakers, c.dim)
        nn.init.normal_(self.speaker.weight, std=0.02)
        self.drop = nn.Dropout(c.dropout)
        self.host = hosts.build(
            c.host,
            streams=m if c.placement == "late" else 1,
            dim=c.dim,
            span=c.span,
            speakers=c.speakers,
            dropout=c.dropout,
            **c.host_options,
        )
        self.head = nn.Sequential(nn.LayerNorm(c.dim), nn.Dropout(c.dropout), nn.Linear(c.dim, c.classes))
        # Last, so that everything before draws the same random numbers whatever the fusion.
        self.fusion = fusions.build(c.fusion, modalities=m, dim=c.dim, span=c.span, **c.fusion_options)
        self.remembered = self.init_state(1).sizes() if c.span.steps else None

    def forward(self, dialogue: Dialogue) -> Tensor:
        """Logits ``[B, N, C]`` of whole conversations. What stands in the rows of padding means nothing."""
        d = dialogue
        present_BNM = (d.present_BNM & d.valid_BN.unsqueeze(-1))[..., self.which]
        speaker_BN = self._who(torch.where(d.valid_BN, d.speaker_BN, 0))
        x_BNMD = self._inputs((d.text_BNT, d.audio_BNA, d.visual_BNV), present_BNM, speaker_BN)
        if self.config.placement == "late":
            z_BND = self.fusion(self.host(x_BNMD, present_BNM, speaker_BN, d.valid_BN), present_BNM)
        else:
            x_BN1D = self._residual(self.fusion(x_BNMD, present_BNM), x_BNMD).unsqueeze(2)
            any_BN1 = present_BNM.any(-1, keepdim=True)
            z_BND = self.host(x_BN1D, any_BN1, speaker_BN, d.valid_BN).squeeze(2)
        logits_BNC: Tensor = self.head(z_BND)
        return logits_BNC

    def init_state(self, batch: int) -> State:
        """Before the first utterance of ``batch`` conversations.

        Raises:
            ValueError: the span looks ahead or is without limit.
        """
        return State.join(host=self.host.init_state(batch), fusion=self.fusion.init_state(batch))

    def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
        """Logits ``[B, C]`` of one utterance of each conversation, and the state after it.

        Raises:
            ValueError: a state of another model or window.
        """
        state.expect(self.init_state(1).sizes() if self.remembered is None else self.remembered)
        present_BM = turn.present_BM[..., self.which]
        speaker_B = self._who(turn.speaker_B)
        x_BMD = self._inputs((turn.text_BT, turn.audio_BA, turn.visual_BV), present_BM, speaker_B)
        host, fusion = state.part("host"), state.part("fusion")
        if self.config.placement == "late":
            h_BMD, host = self.host.step(x_BMD, present_BM, speaker_B, host)
            z_BD, fusion = self.fusion.step(h_BMD, present_BM, fusion)
        else:
            z_BD, fusion = self.fusion.step(x_BMD, present_BM, fusion)
            x_B1D = self._residual(z_BD, x_BMD).unsqueeze(1)
            h_B1D, host = self.host.step(x_B1D, present_BM.any(-1, keepdim=True), speaker_B, host)
            z_BD = h_B1D.squeeze(1)
        logits_BC: Tensor = self.head(z_BD)
        return logits_BC, State.join(host=host, fusion=fusion)

    def _residual(self, z: Tensor, x: Tensor) -> Tensor:
        return z + x.sum(-2) if self.config.placement == "early-residual" else z

    def _who(self, speaker: Tensor) -> Tensor:
        return speaker.clamp(max=self.config.speakers - 1)

    def _inputs(self, features: tuple[Tensor, Tensor, Tensor], present: Tensor, speaker: Tensor) -> Tensor:
        """Each modality at width D with its speaker, ``[..., M, D]``; zero where absent."""
        mapped = [
            map_(present_only(features[w], present[..., i]))
            for i, (map_, w) in enumerate(zip(self.maps, self.which, strict=True))
        ]
        x = F.gelu(torch.stack(mapped, -2)) + self.speaker(speaker).unsqueeze(-2)
        return present_only(self.drop(x), present)
