"""A Whisper with random weights in CTranslate2's form, made offline: it runs the real code and knows nothing.

For tests only. 0.4 M parameters, a byte-level vocabulary of a few hundred tokens (which faster-whisper takes
for an English-only model, since that is decided by the size of the vocabulary).
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

WORDS = ["the quick brown fox", "a sentence to learn bytes from", "what can you do for your country"]
LANGUAGES = ("en",)
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


def build(folder: Path, seed: int = 0) -> Path:
    """Make the model in ``folder`` and return the directory that faster-whisper loads."""
    _without_torchaudio()
    original, out = folder / "original", folder / "whisper-test"
    original.mkdir(parents=True)
    vocabulary = _tokenizer(original)
    _network(original, vocabulary, seed)
    (original / "preprocessor_config.json").write_text(
        json.dumps(
            {"feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400, "chunk_length": 30}
        )
    )
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(
        str(original), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(out), quantization="int8")
    return out


def _tokenizer(folder: Path) -> dict[str, int]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=292, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", special=True) for i in range(1501)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return {str(token): int(number) for token, number in tokenizer.get_vocab().items()}


def _network(folder: Path, vocabulary: dict[str, int], seed: int) -> None:
    import torch
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(seed)
    end, start = vocabulary["<|endoftext|>"], vocabulary["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(vocabulary),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=[],
        begin_suppress_tokens=[end],
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # words only, chosen surely and by position, or nothing would pass any gate
        words = [number for token, number in vocabulary.items() if not token.startswith("<|")]
        silent = torch.ones(len(vocabulary), dtype=torch.bool)
        silent[words] = False
        model.model.decoder.embed_tokens.weight *= 40
        model.model.decoder.embed_tokens.weight[silent] = 0
        model.model.decoder.embed_positions.weight *= 300
    generation = model.generation_config
    generation.alignment_heads = [[0, 0], [1, 0]]
    generation.no_timestamps_token_id = vocabulary["<|notimestamps|>"]
    generation.lang_to_id = {f"<|{code}|>": vocabulary[f"<|{code}|>"] for code in LANGUAGES}
    generation.suppress_tokens = []
    generation.begin_suppress_tokens = [end]
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    ).save_pretrained(folder)


def _without_torchaudio() -> None:
    """A torchaudio that does not match this torch breaks the import of transformers: hide it if so."""
    try:
        import torchaudio  # noqa: F401
    except (OSError, RuntimeError, ImportError):
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
        stub.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
        stub._check_cuda_version = lambda: None  # type: ignore[attr-defined]
        sys.modules["torchaudio._extension"] = stub
