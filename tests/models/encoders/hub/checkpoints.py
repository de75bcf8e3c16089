"""Small checkpoints with random weights, written as save_pretrained writes the big ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from models.encoders.hub.files import import_transformers

SPECIAL = ("<pad>", "<s>", "</s>", "?")
WORDS = ("A", "B", "C", ":", "how", "are", "you", "doing", "fine", "thanks", "joey", "what")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
TEXTS = ("roberta", "deberta-v2", "modernbert")
VOICES = ("wav2vec2", "hubert", "wavlm")


def text(folder: Path, family: str = "roberta", seed: int = 0) -> Path:
    """An encoder of words with a tokenizer of a dozen."""
    words = {w: i for i, w in enumerate(SPECIAL + WORDS)}
    tokens: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if family == "modernbert":
        tokens |= {
            "cls_token_id": 1,
            "sep_token_id": 2,
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
        }
    _save(folder, family, seed, vocab_size=len(words), max_position_embeddings=40, **tokens)
    tokenizer = Tokenizer(WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    import_transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="?",
    ).save_pretrained(folder)
    return folder


def voice(folder: Path, family: str = "wav2vec2", norm: str = "layer") -> Path:
    """An encoder of raw sound, normalised over channels (``norm`` is layer) or over time (group)."""
    _save(
        folder,
        family,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 8, 4),
        conv_kernel=(10, 8, 4),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
    )
    return _preprocessor(folder, sampling_rate=16_000, do_normalize=True)


def face(folder: Path, family: str = "vit") -> Path:
    """An encoder of pictures of 32 rows and columns; without a first token where it is ``resnet``."""
    if family == "resnet":
        own: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 24], "depths": [1, 1]}
    else:
        own = {"image_size": 32, "patch_size": 8}
    _save(folder, family, **own)
    return _preprocessor(folder, size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.25] * 3)


def sound(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Noise under a slow wave, so that its level is not the same throughout."""
    n = round(seconds * 16_000)
    noise = np.random.default_rng(seed).normal(0, 0.1, n)
    return (noise * (1 + np.sin(np.arange(n) / 900))).astype(np.float32)


def _save(folder: Path, family: str, seed: int = 0, **own: Any) -> None:
    transformers = import_transformers()
    torch.manual_seed(seed)
    sizes = {} if family == "resnet" else SMALL
    config = transformers.AutoConfig.for_model(family, **sizes, **own)
    transformers.AutoModel.from_config(config).save_pretrained(folder)


def _preprocessor(folder: Path, **values: Any) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
