"""Stage: features of one utterance become an estimate in the context of the conversation.

The conversation's context is one value, replaced by finals and left alone by partials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.calibration import probabilities
from models.dialogue import Turn, voice_vector
from models.incremental import alone, contributions
from models.normalise import Running

from .types import Alone, Estimate, Features, Reading

if TYPE_CHECKING:
    from models.fusion_weights import Fusion


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a conversation: the model's state, the voices heard, and how many turns."""

    state: Any
    voices: Running
    turns: int = 0


class LmamFusion:
    """`Features` in, `Estimate` out.

    Args:
        model: Trained weights with what belongs to them (labels, temperatures, prior of the voices).
        prefix: Beginning of every id: the conversation and the first sequence number of this run, so that
            a resumed conversation does not use an id again.
        first_sequence: Number of the first final.
    """

    def __init__(self, model: Fusion, prefix: str, first_sequence: int = 1) -> None:
        self._model, self._prefix, self._sequence = model, prefix, first_sequence
        self._fresh, self._purged = True, -math.inf
        self._memory = self._empty()

    def push(self, features: Features) -> Iterator[Estimate]:
        if features.utterance.span.end <= self._purged:
            return
        if self._fresh:
            self._memory, self._fresh = self._empty(), False
        probs, weights, memory = self._step(features)
        u = features.utterance
        sequence = None
        if features.final:
            turns, self._memory = self._memory.turns, memory
            sequence, self._sequence = self._sequence, self._sequence + 1
        else:
            turns = self._memory.turns
        present = (features.text is not None, features.audio is not None, features.visual is not None)
        readings = [
            Reading(here, quality if here else 0.0, weight if here else 0.0)
            for here, quality, weight in zip(present, features.quality, weights, strict=True)
        ]
        words = u.transcript if features.text is not None else None
        yield Estimate(
            utterance=u,
            id=f"{self._prefix}-{_where(features)}",
            sequence=sequence,
            revision=u.segment.revision if u.segment else 0,
            labels=self._model.labels,
            probs=tuple(probs),
            readings=(readings[0], readings[1], readings[2]),
            turns=min(turns, self._model.net.config.window),
            text=words.text if words else None,
            language=words.language if words else None,
        )

    def flush(self) -> Iterator[Estimate]:
        return iter(())

    @torch.inference_mode()
    def alone(self, features: Features) -> Alone:
        """What each modality of an utterance says by itself: the probabilities if nothing else of it were
        there, in the same context; None where it is absent.  To be asked before `push`; changes nothing."""
        memory = self._empty() if self._fresh else self._memory
        turn, _ = self._turn(features, memory.voices)
        logits_MC = alone(self._model.net, turn, memory.state)[:, 0].double()
        each_MM = torch.eye(len(turn.present_BM[0]), dtype=torch.bool, device=logits_MC.device)
        probs_MC = probabilities(logits_MC, self._model.temperatures.at(each_MM & turn.present_BM))
        text, audio, visual = (tuple(row) for row in probs_MC.tolist())
        return (
            text if features.text is not None else None,
            audio if features.audio is not None else None,
            visual if features.visual is not None else None,
        )

    def forget(self, before: float) -> None:
        """Drop the context, and unseen what was said by ``before``; safe from another thread."""
        self._fresh, self._purged = True, before

    def _empty(self) -> Memory:
        return Memory(self._model.net.init_state(1), Running(self._model.prior))

    @torch.inference_mode()
    def _step(self, features: Features) -> tuple[list[float], list[float], Memory]:
        m = self._model
        turn, voices = self._turn(features, self._memory.voices)
        logits_BC, state, weights_BM = contributions(m.net, turn, self._memory.state)
        probs = probabilities(logits_BC[0].double(), m.temperatures.at(turn.present_BM[0]))
        return probs.tolist(), weights_BM[0].tolist(), Memory(state, voices, self._memory.turns + 1)

    def _turn(self, features: Features, voices: Running) -> tuple[Turn, Running]:
        """What the network reads, and the voices with this one heard."""
        measures = np.full(len(self._model.prior.measures), np.nan)
        if features.audio is not None:
            measures, voices = voices.push(features.audio, features.speaker)
        embedding = torch.full((self._model.net.config.voice,), torch.nan)
        if features.voice is not None:
            embedding = torch.from_numpy(features.voice)
        audio = voice_vector(torch.from_numpy(measures).float(), embedding)
        return _turn(features, audio, self._model), voices


def _where(features: Features) -> str:
    """Tells utterances of one run apart: start in milliseconds, and the channel (``v``: a silent face)."""
    u = features.utterance
    channel = u.segment.audio.channel if u.segment else "v"
    return f"{round(u.span.start * 1000):08d}{'-' if channel == 'v' else 'c'}{channel}"


def _turn(features: Features, audio: torch.Tensor, m: Fusion) -> Turn:
    """One utterance as a batch of one on the model's device; what is missing is NaN and must not matter."""
    config, device = m.net.config, next(m.net.parameters()).device
    text = features.text if features.text is not None else torch.full((config.text,), torch.nan)
    visual = torch.full((config.visual,), torch.nan)
    if features.visual is not None:
        visual = torch.from_numpy(features.visual)
    present = [features.text is not None, features.audio is not None, features.visual is not None]
    return Turn(
        text_BT=text.to(device).float().unsqueeze(0),
        audio_BA=audio.to(device).unsqueeze(0),
        visual_BV=visual.to(device).float().unsqueeze(0),
        present_BM=torch.tensor([present], device=device),
        speaker_B=torch.tensor([features.speaker], device=device),
    )
