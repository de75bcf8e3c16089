"""Any text encoder of Hugging Face (RoBERTa, DeBERTa, ModernBERT, ...) in the place of MiniLM.

The words go in behind their speaker's letter as in `models.encoders.text`, so that features mean the same.

Shape suffixes: n texts, L tokens of the longest, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import CheckpointError
from models.encoders.hub import files
from models.encoders.hub.spec import Spec
from models.encoders.text import Words, line

TOKENIZERS = ("tokenizer.json", "vocab*", "*.model")


def pooled(states: Sequence[Tensor], mask_nL: Tensor, spec: Spec) -> Tensor:
    """Rows float32 ``[n, D]`` of the states ``[n, L, D]`` of each layer, by the way that ``spec`` names."""
    x_nLD = torch.stack([s.float() for s in states[-spec.layers :]]).mean(0)
    if spec.pool == "cls":
        return x_nLD[:, 0]
    mask_nL1 = mask_nL.to(x_nLD).unsqueeze(-1)
    return (x_nLD * mask_nL1).sum(1) / mask_nL1.sum(1).clamp_min(1)


class HubText:
    """Tokenizer and network of ``spec``, ready to use; in place of a `models.encoders.text.TextEncoder`.

    Raises:
        CheckpointError: the files are missing, damaged or of something else (see `files`).
    """

    def __init__(self, spec: Spec, folder: Path | None = None) -> None:
        folder = folder or files.find(spec)
        self.spec, self.net = spec, files.load_model(spec, folder)
        self.tokenizer = _tokenizer(spec, folder)
        config = self.net.config
        if self.net.main_input_name != "input_ids" or len(self.tokenizer) > config.vocab_size:
            raise CheckpointError(
                f"{spec}: a {type(self.net).__name__}; expected a text encoder, with a tokenizer of its own"
            )
        self.dim, self.contextual = int(config.hidden_size), False
        positions = (getattr(config, "max_position_embeddings", 0) or 0) - 2  # RoBERTa's begin at two
        most = positions if positions > 0 else spec.tokens
        self.tokens = min(spec.tokens, most, self.tokenizer.model_max_length)

    def encode(self, texts: Sequence[str], speakers: Sequence[int]) -> Tensor:
        """Features ``[n, dim]`` on the encoder's device, without gradient.

        Raises:
            ValueError: a text is empty (a caller without words masks the modality).
        """
        lines, size = [line(t, s) for t, s in zip(texts, speakers, strict=True)], self.spec.batch
        rows = [self._rows(lines[at : at + size]) for at in range(0, len(lines), size)]
        return torch.cat(rows) if rows else torch.zeros(0, self.dim, device=self.net.device)

    def conversations(self, spoken: Sequence[Words]) -> list[Tensor]:
        """`encode` of each conversation: every text by itself."""
        return [self.encode(texts, speakers) for texts, speakers in spoken]

    def _rows(self, lines: list[str]) -> Tensor:
        batch = self.tokenizer(
            lines, padding=True, truncation=True, max_length=self.tokens, return_tensors="pt"
        )
        ids_nL, mask_nL = (batch[name].to(self.net.device) for name in ("input_ids", "attention_mask"))
        with files.computing(self.spec, self.net.device):
            many = self.spec.layers > 1
            out = self.net(input_ids=ids_nL, attention_mask=mask_nL, output_hidden_states=many)
            return pooled(out.hidden_states if many else [out.last_hidden_state], mask_nL, self.spec)


def _tokenizer(spec: Spec, folder: Path) -> Any:
    if not any(
        found for pattern in TOKENIZERS for found in folder.glob(pattern)
    ):  # else an empty one is made
        raise CheckpointError(f"{spec}: {folder} holds no tokenizer ({', '.join(TOKENIZERS)})")
    try:
        tokenizer = files.import_transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers, sentencepiece and transformers each raise their own
        raise CheckpointError(
            f"{spec}: {folder} holds no usable tokenizer ({error}); a *.model needs sentencepiece, which"
            f" {files.INSTALL['transformers']} brings"
        ) from error
    if tokenizer.pad_token is None:
        raise CheckpointError(f"{spec}: its tokenizer has no padding, so this is no text encoder")
    return tokenizer
