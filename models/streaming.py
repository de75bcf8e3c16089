"""Streaming for models that need whole conversations: run over the last W utterances, keep the last row.

A bidirectional model cannot be stepped. `Windowed` makes of it one that can: the state is the raw
utterances, and each step is

    logits_t = model(utterances max(0, t - W + 1) .. t)[last]

so that each estimate is exactly what the model says of a conversation of (at most) W utterances that ends
here. `forward` is the same for each utterance of whole conversations, which makes ``step == forward`` true by
construction; it is not the model's own forward, which sees the future. A step costs a whole run over W
utterances; a model that is causal and has its own `step` does not need this.

Shape suffixes: B conversations, N utterances, W utterances kept, K windows run at once, M modalities (3),
C classes, T/A/V text, audio and visual features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.conversation import ConversationModel
from models.dialogue import MODALITIES, Dialogue, Turn
from models.masks import present_only
from models.state import State

ROWS = 8192  # utterances in one run of `forward`: bounds its memory


class Windowed(nn.Module):
    """`models.incremental.Steppable` from any model of whole conversations.

    Args:
        model: takes a `Dialogue`, padded at the end, and gives logits ``[B, N, C]``; it reads neither padding
            nor what is absent. A `models.conversation.ConversationModel` with `models.span.FULL`, for one.
        turns: W, at least 1.
        sizes: width of each modality that the model reads; one without a width is not kept.

    Raises:
        ValueError: ``turns`` below 1, or an unknown modality.
    """

    def __init__(self, model: nn.Module, *, turns: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        if turns < 1:
            raise ValueError(f"turns {turns}: the window holds the newest utterance, so at least 1")
        if unknown := set(sizes) - set(MODALITIES):
            raise ValueError(f"sizes of {', '.join(sorted(unknown))}: there are {', '.join(MODALITIES)}")
        self.model, self.turns = model, turns
        self.widths = [sizes.get(name, 0) for name in MODALITIES]

    @classmethod
    def of(cls, model: ConversationModel, turns: int) -> Windowed:
        """``model`` with the sizes of its own configuration."""
        return cls(model, turns=turns, sizes=model.config.sizes)

    def init_state(self, batch: int) -> State:
        """No utterances yet; on the device and of the type of the model's first parameter."""
        new, rows = next(self.model.parameters()).new_zeros, (batch, self.turns)
        features = {name: new(*rows, w) for name, w in zip(MODALITIES, self.widths, strict=True)}
        return State(
            **features,
            present=new(*rows, len(MODALITIES), dtype=torch.bool),
            speaker=new(rows, dtype=torch.int64),
            count=new(batch, dtype=torch.int64),
        )

    def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
        """Logits ``[B, C]`` of the newest utterance, and the state in which it has its place."""
        count_B, w_W = state["count"], torch.arange(self.turns, device=state["count"].device)
        # Each place takes what stood there, the one behind it where there is no room, or the new row (W).
        from_BW = w_W + (count_B >= self.turns).unsqueeze(1)
        from_BW = torch.where(w_W == count_B.clamp(max=self.turns - 1).unsqueeze(1), self.turns, from_BW)
        row_B1 = torch.arange(count_B.shape[0], device=count_B.device).unsqueeze(1)

        def placed(name: str, new: Tensor) -> Tensor:
            return torch.cat([state[name], new.unsqueeze(1)], 1)[row_B1, from_BW]

        features = (turn.text_BT, turn.audio_BA, turn.visual_BV)
        kept = {name: placed(name, x) for name, x in self._kept(features, turn.present_BM).items()}
        state = State(
            **kept,
            present=placed("present", turn.present_BM),
            speaker=placed("speaker", turn.speaker_B),
            count=(count_B + 1).clamp(max=self.turns),
        )
        valid_BW = w_W < state["count"].unsqueeze(1)
        text, audio, visual, present, speaker = (state[n] for n in (*MODALITIES, "present", "speaker"))
        whole = Dialogue(text, audio, visual, present, speaker, valid_BW)
        return self._last(whole, state["count"] - 1), state

    def forward(self, dialogue: Dialogue) -> Tensor:
        """Logits ``[B, N, C]``: of each utterance, from it and the up to W - 1 before it."""
        d, (b, n) = dialogue, dialogue.valid_BN.shape
        kept = self._kept((d.text_BNT, d.audio_BNA, d.visual_BNV), d.present_BNM)
        t_N = torch.arange(n, device=d.valid_BN.device)
        w_W = t_N[: self.turns]
        j_NW = (t_N - self.turns + 1).clamp_min(0)[:, None] + w_W
        seen_NW, last_N = j_NW <= t_N[:, None], t_N.clamp(max=self.turns - 1)
        j_NW = j_NW.clamp(max=n - 1)
        logits = []
        for chunk_K in torch.arange(b * n, device=t_N.device).chunk(-(-b * n * len(w_W) // ROWS)):
            t_K = chunk_K % n
            at = (chunk_K // n)[:, None], j_NW[t_K]
            text, audio, visual = (x[at] for x in kept.values())
            valid_KW = d.valid_BN[at] & seen_NW[t_K]
            whole = Dialogue(text, audio, visual, d.present_BNM[at], d.speaker_BN[at], valid_KW)
            logits.append(self._last(whole, last_N[t_K]))
        return torch.cat(logits).view(b, n, -1)

    def _kept(self, features: tuple[Tensor, ...], present: Tensor) -> dict[str, Tensor]:
        """What the model reads of the features, by modality; zero where absent, so that a state is finite."""
        named = zip(MODALITIES, features, self.widths, strict=True)
        read = {name: x if w else x[..., :0] for name, x, w in named}
        return {name: present_only(x, present[..., m]) for m, (name, x) in enumerate(read.items())}

    def _last(self, whole: Dialogue, last_B: Tensor) -> Tensor:
        logits_BWC: Tensor = self.model(whole)
        return logits_BWC[torch.arange(last_B.shape[0], device=last_B.device), last_B]
