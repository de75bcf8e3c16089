"""A Whisper with random weights in CTranslate2's form, made offline: it runs the real code and knows nothing.

For tests only. Two layers of 64 units, 0.3 M parameters, and a vocabulary of single bytes and a few words, so
that what it "hears" is readable.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from streamer.types import Floats

WIDTH, HEADS, LAYERS, MELS = 64, 2, 2, 80
MULTILINGUAL = ""  # the empty token, by which CTranslate2 tells a multilingual Whisper
WORDS = [
    "I",
    "you",
    "we",
    "they",
    "it",
    "was",
    "is",
    "not",
    "so",
    "what",
    "how",
    "never",
    "always",
    "here",
    "there",
    "today",
    "home",
    "work",
    "night",
    "day",
    "good",
    "bad",
    "happy",
    "sorry",
    "angry",
    "afraid",
    "love",
    "hate",
    "think",
    "know",
    "want",
    "said",
    "gone",
    "late",
    "early",
    "please",
    "thanks",
    "why",
    "maybe",
]
LENGTH = 7  # tokens after which it falls silent, those before the first word included
SPECIAL = ("endoftext", "startoftranscript")
TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")


def build(folder: Path, *, multilingual: bool = False, seed: int = 0) -> Path:
    """Make the model in ``folder`` (which must not exist yet) and return it."""
    folder.mkdir(parents=True)
    tokens = _tokens(multilingual)
    _tokenizer(folder / "tokenizer.json", tokens)
    facts = {
        "feature_size": MELS,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    _network(tokens, seed).save(str(folder))
    return folder


def _tokens(multilingual: bool) -> list[str]:
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import pre_tokenizers

    languages = _LANGUAGE_CODES if multilingual else ("en",)
    spoken = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"Ġ{word}" for word in WORDS)]
    special = [f"<|{name}|>" for name in (*SPECIAL, *languages, *TASKS)]
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    return [*spoken, *([MULTILINGUAL] if multilingual else []), *special, *times]


def _tokenizer(path: Path, tokens: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in tokens if t.startswith("<|")])
    tokenizer.save(str(path))


def _network(tokens: list[str], seed: int) -> Any:
    """Random, but its answers are words, sure of themselves, and differ with position and sound."""
    from ctranslate2.specs import WhisperSpec

    rng = np.random.default_rng(seed)
    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    spec.register_vocabulary(tokens)
    _convolution(spec.encoder.conv1, rng, MELS)
    _convolution(spec.encoder.conv2, rng, WIDTH)
    spec.encoder.position_encodings.encodings = _random(rng, 1500, WIDTH, scale=0.1)
    embeddings = _random(rng, len(tokens), WIDTH, scale=0.01)
    words = [i for i, token in enumerate(tokens) if token.removeprefix("Ġ") in WORDS and len(token) > 1]
    embeddings[words] = _random(rng, len(words), WIDTH, scale=1.0)
    end = tokens.index("<|endoftext|>")
    positions = _random(rng, 448, WIDTH, scale=10.0)
    embeddings[end] = positions[LENGTH] * 7 / np.linalg.norm(positions[LENGTH])
    spec.decoder.embeddings.weight = embeddings
    spec.decoder.projection.weight = embeddings
    spec.decoder.projection.bias = np.zeros(len(tokens), np.float32)
    spec.decoder.position_encodings.encodings = positions
    for part in (spec.encoder, spec.decoder):
        _norm(part.layer_norm)
        for layer in part.layer:
            _attention(layer.self_attention, rng, (3 * WIDTH, WIDTH))
            if part is spec.decoder:
                _attention(layer.attention, rng, (WIDTH, 2 * WIDTH, WIDTH), scale=0.35)
            _norm(layer.ffn.layer_norm)
            _linear(layer.ffn.linear_0, rng, 2 * WIDTH, WIDTH)
            _linear(layer.ffn.linear_1, rng, WIDTH, 2 * WIDTH)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [end]
    spec.config.lang_ids = list(range(end + 2, tokens.index("<|translate|>")))
    spec.config.alignment_heads = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    spec.validate()
    spec.optimize(quantization="int8")
    return spec


def _random(rng: np.random.Generator, *shape: int, scale: float) -> Floats:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def _convolution(spec: Any, rng: np.random.Generator, channels: int) -> None:
    spec.weight = _random(rng, WIDTH, channels, 3, scale=0.3)
    spec.bias = np.zeros(WIDTH, np.float32)


def _linear(spec: Any, rng: np.random.Generator, rows: int, columns: int, scale: float = 0.1) -> None:
    spec.weight = _random(rng, rows, columns, scale=scale)
    spec.bias = np.zeros(rows, np.float32)


def _norm(spec: Any) -> None:
    spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def _attention(spec: Any, rng: np.random.Generator, rows: tuple[int, ...], scale: float = 0.1) -> None:
    _norm(spec.layer_norm)
    for linear, count in zip(spec.linear, rows, strict=True):
        _linear(linear, rng, count, WIDTH, scale)
