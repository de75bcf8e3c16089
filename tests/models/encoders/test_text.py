"""The text encoder: packed batches, the speaker's letter, what it refuses, and the files it reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from models.checkpoint import WEIGHTS, CheckpointError
from models.encoders.minilm import Config, MiniLM
from models.encoders.text import TextEncoder, line, read_tokenizer

SMALL = Config(vocabulary=40, dim=16, heads=2, hidden=32, layers=2, positions=32, max_tokens=12)
WORDS = ["?", ":", "A", "B", "C", "how", "are", "you", "doing", "fine", "thanks", "joey", "what"]


def small_encoder(dropout: float = 0.0, read: int = 1, context: int = 0) -> TextEncoder:
    """Two layers of width 16 with random weights and a vocabulary of a few words."""
    torch.manual_seed(0)
    size = replace(SMALL, context=context)
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return TextEncoder(MiniLM(size, dropout, read).eval(), tokenizer)


@pytest.fixture
def encoder() -> TextEncoder:
    return small_encoder()


def test_a_text_does_not_depend_on_its_batch(encoder: TextEncoder) -> None:
    """Packing texts of different lengths together gives each what it gives alone."""
    texts, speakers = ["how are you doing joey", "fine", "what what"], [0, 1, 0]
    together = encoder.encode(texts, speakers)
    alone = torch.cat([encoder.encode([t], [s]) for t, s in zip(texts, speakers, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert together.shape == (3, encoder.dim)


def test_the_mean_is_over_the_tokens_of_a_text(encoder: TextEncoder) -> None:
    """Without layers the feature is the plain mean of the normalised embeddings, padding not counted."""
    encoder.net.layers = torch.nn.ModuleList()
    ids = torch.tensor(encoder.ids(["how are"], [0])[0])
    net = encoder.net
    want = net.norm(net.word(ids) + net.position(torch.arange(len(ids)))).mean(0)
    torch.testing.assert_close(encoder.encode(["how are", "how are you doing fine"], [0, 0])[0], want)


TALK = (("how are you doing joey", "fine", "what", "thanks joey fine", "you"), (0, 1, 0, 2, 1))


@pytest.mark.parametrize("context", [1, 7, 30])
def test_steps_say_what_whole_conversations_say(context: int) -> None:
    """Batched with others or one utterance at a time; the memory stays within its bound."""
    encoder = small_encoder(context=context)
    other = (("fine", "how are you"), (0, 0))
    with torch.no_grad():
        first, want, last = encoder.conversations([other, TALK, other])
    torch.testing.assert_close(first, last)
    memory = encoder.start()
    for text, speaker, want_D in zip(*TALK, want, strict=True):
        kept = memory
        found_D, memory = encoder.step(text, speaker, memory)
        torch.testing.assert_close(found_D, want_D, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            encoder.step(text, speaker, kept)[0], found_D
        )  # a value: it can be asked again
        assert {len(kv) for kv in memory.layers} == {len(memory.ago)}
        assert len(memory.ago) <= context
    alone = encoder.encode(*TALK)
    torch.testing.assert_close(alone[0], want[0])
    assert all(not torch.allclose(a, w, atol=1e-4) for a, w in zip(alone[1:], want[1:], strict=True))


def test_nothing_that_comes_later_or_was_too_long_ago_is_read() -> None:
    """With room for the utterance before, each of two layers reaches one further back."""
    encoder = small_encoder(context=3)
    texts, speakers = ["how are you", "fine", "what what", "thanks"], [0, 1, 0, 1]
    with torch.no_grad():
        (want,) = encoder.conversations([(texts, speakers)])
        for changed in range(4):
            other = [*texts[:changed], "joey joey", *texts[changed + 1 :]]
            (found,) = encoder.conversations([(other, speakers)])
            same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(found, want, strict=True)]
            assert same[:changed] == [True] * changed
            assert not same[changed]
            assert same[3] == (changed < 1)


def test_without_context_nothing_is_remembered(encoder: TextEncoder) -> None:
    found_D, memory = encoder.step("fine", 0, encoder.start())
    torch.testing.assert_close(found_D, encoder.encode(["fine"], [0])[0])
    assert memory.ago == ()
    torch.testing.assert_close(encoder.step("what", 0, memory)[0], encoder.encode(["what"], [0])[0])


def test_an_encoder_learns_to_read_what_was_said_before(tmp_path: Path) -> None:
    """Stored without context and taken up with it; what is stored then keeps it, int8 too."""
    encoder, path = small_encoder(), tmp_path / "text.safetensors"
    encoder.save(path, {}, int8=False)
    taken = TextEncoder.trainable(path, dropout=0.0, context=7)
    assert taken.contextual
    taken.conversations([TALK])[0].sum().backward()
    assert all(layer.earlier_HA.grad.abs().sum() > 0 for layer in taken.net.layers)
    taken.save(path, {})
    again = TextEncoder.load(path)
    with torch.no_grad():
        torch.testing.assert_close(
            again.conversations([TALK])[0], taken.conversations([TALK])[0], atol=0.05, rtol=0
        )
    assert TextEncoder.trainable(path).contextual


def test_several_layers_are_read_side_by_side(encoder: TextEncoder) -> None:
    """The last one last, each as a network that ends there would have it."""
    texts, speakers = ["how are you", "fine"], [0, 1]
    last = encoder.encode(texts, speakers)
    both = TextEncoder(MiniLM(SMALL, dropout=0.0, read=2).eval(), encoder.tokenizer)
    both.net.load_state_dict(encoder.net.state_dict())
    found = both.encode(texts, speakers)
    assert found.shape == (2, both.dim) == (2, 32)
    torch.testing.assert_close(found[:, 16:], last)
    encoder.net.layers = encoder.net.layers[:1]
    torch.testing.assert_close(found[:, :16], encoder.encode(texts, speakers))


def test_the_speaker_is_read(encoder: TextEncoder) -> None:
    """The same words of another speaker have other features; the eighth and the twentieth share a letter."""
    a, b = encoder.encode(["fine", "fine"], [0, 1])
    assert not torch.allclose(a, b)
    assert line("fine", 0) == "A: fine"
    assert line("fine", 7) == line("fine", 19) == "H: fine"


def test_long_texts_are_cut(encoder: TextEncoder) -> None:
    """More than max_tokens tokens are cut to max_tokens."""
    assert len(encoder.ids(["you " * 50], [0])[0]) == SMALL.max_tokens


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    """An empty list is not an error."""
    assert encoder.encode([], []).shape == (0, SMALL.dim)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_is_refused(encoder: TextEncoder, text: str) -> None:
    """Absent words are masked by the caller, never encoded as if said."""
    with pytest.raises(ValueError, match="empty text"):
        encoder.encode(["fine", text], [0, 0])


def test_a_negative_speaker_is_refused() -> None:
    """Speakers count from 0."""
    with pytest.raises(ValueError, match="first appearance"):
        line("fine", -1)


def test_stored_and_loaded_it_says_almost_the_same(encoder: TextEncoder, tmp_path: Path) -> None:
    """int8 rounding moves a feature by little; float storage by nothing."""
    want = encoder.encode(["how are you"], [0])
    for int8, tolerance in ((True, 0.05), (False, 1e-6)):
        path = tmp_path / f"{int8}.safetensors"
        encoder.save(path, {"name": "small"}, int8=int8)
        again = TextEncoder.load(path)
        torch.testing.assert_close(again.encode(["how are you"], [0]), want, atol=tolerance, rtol=0)
        assert again.meta["name"] == "small"
        assert not again.net.training


def test_missing_files_are_named(encoder: TextEncoder, tmp_path: Path) -> None:
    """Weights without a tokenizer, a damaged tokenizer and no weights: each error names its file."""
    path = tmp_path / "text.safetensors"
    with pytest.raises(CheckpointError, match=r"text\.safetensors"):
        TextEncoder.load(path)
    encoder.save(path, {})
    path.with_suffix(".tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a readable tokenizer"):
        TextEncoder.load(path)
    path.with_suffix(".tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="no such tokenizer"):
        read_tokenizer(path.with_suffix(".tokenizer.json"))


def test_what_ships_is_small_and_tells_moods_apart() -> None:
    """Encoder and tokenizer stay under 25 MB, and alike moods are nearer than opposite ones."""
    path = WEIGHTS / "text.safetensors"
    tokenizer = path.with_suffix(".tokenizer.json")
    assert path.stat().st_size + tokenizer.stat().st_size < 25_000_000
    texts = ["I am so happy, this is wonderful!", "Oh that is great, I love it!", "I hate you, get out!"]
    a, b, c = torch.nn.functional.normalize(TextEncoder.load(path).encode(texts, [0, 0, 0]), dim=1)
    assert a @ b > a @ c


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    """A header that does not fit its tensors: CheckpointError names the file."""
    from models import checkpoint

    encoder, path = small_encoder(), tmp_path / "text.safetensors"
    facts = {"kind": "text-encoder", "config": {"layers": 3, "dim": 16, "heads": 2}}
    checkpoint.save(path, encoder.net.state_dict(), facts)
    with pytest.raises(CheckpointError, match=r"text\.safetensors: does not fit"):
        TextEncoder.load(path)
