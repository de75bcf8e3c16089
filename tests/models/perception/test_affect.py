"""Fitting the head of valence and arousal on sentences that the test makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.asr_noise import WordErrors
from models.calibration import Temperatures, probabilities
from models.data.sentences import MEASURES, Part, Sentences
from models.dialogue import Turn
from models.fusion_weights import Fusion
from models.hosts.gru import Config, GruLmam
from models.normalise import Prior
from models.perception.affect import (
    ALONE,
    CONTEXT,
    MISHEARD,
    Plan,
    Read,
    correlations,
    fit,
    fit_map,
    label_probabilities,
    mean,
    misheard,
    mixed,
    outputs,
    read,
    ridge,
)
from tests.models.encoders.test_text import small_encoder

PLAN = Plan(width=16, epochs=15, batch=32, noise=0.1, dropout=0.1, rate=0.01)


def split(n: int, seed: int) -> Read:
    """Features of which two directions are valence and arousal, and some noise."""
    made = torch.Generator().manual_seed(seed)
    x_ND = torch.randn(n, 8, generator=made)
    target_NA = 0.2 * x_ND[:, :2] + 0.02 * torch.randn(n, 2, generator=made)
    return Read({ALONE: x_ND, MISHEARD: x_ND + 0.3}, target_NA)


@pytest.fixture(scope="module")
def splits() -> dict[str, Read]:
    return {s: split(n, i) for i, (s, n) in enumerate({"train": 400, "dev": 80, "test": 80}.items())}


def texts(n: int) -> Part:
    words = ("love", "hate", "table", "this", "that")
    made = tuple(f"{words[i % 5]} {words[(i * 3 + 1) % 5]} {words[i % 2]}" for i in range(n))
    return Part(made, (0,) * n, np.zeros((n, 3), np.float32))


def test_the_head_finds_what_is_there_and_the_same_each_time(splits: dict[str, Read]) -> None:
    net, epoch = fit(splits, PLAN, 0, 2)
    found = correlations(outputs(net, splits["test"]), splits["test"].target_NA)
    assert min(found.values()) > 0.9
    assert 1 <= epoch <= PLAN.epochs
    again, _ = fit(splits, PLAN, 0, 2)
    assert torch.equal(outputs(net, splits["test"]), outputs(again, splits["test"]))
    assert abs(float(outputs(net, splits["test"]).std(0)[0]) - 0.2) < 0.05


def test_the_epoch_is_that_with_the_best_dev(splits: dict[str, Read]) -> None:
    """A longer training contains the shorter one: its head is at least as good on dev."""
    dev = splits["dev"]
    short, long = (fit(splits, PLAN.model_copy(update={"epochs": e}), 0, 2)[0] for e in (2, 12))
    first, second = (mean(correlations(outputs(n, dev), dev.target_NA)) for n in (short, long))
    assert second >= first


def test_the_map_is_what_each_label_is_taken_for() -> None:
    probs_NK = torch.softmax(2 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), 1)
    true_KA = torch.tensor([[0.5, 0.1], [-0.5, 0.4], [0.0, -0.2]])
    torch.testing.assert_close(fit_map(probs_NK, probs_NK @ true_KA), true_KA, atol=1e-5, rtol=0)


def test_a_mixture_lies_between_the_two(splits: dict[str, Read]) -> None:
    net, _ = fit(splits, PLAN.model_copy(update={"epochs": 1}), 0, 2)
    net.map_KA = torch.tensor([[0.5, 0.1], [-0.5, 0.4]])
    probs_NK = torch.tensor([[0.5, 0.5]]).expand(80, -1)
    dev = splits["dev"]
    torch.testing.assert_close(mixed(net, dev, probs_NK, 0.0), outputs(net, dev))
    torch.testing.assert_close(mixed(net, dev, probs_NK, 1.0), torch.tensor([[0.0, 0.25]]).expand(80, -1))


def test_what_does_not_vary_correlates_with_nothing() -> None:
    target_NA = torch.randn(9, 2)
    assert correlations(torch.zeros(9, 2), target_NA) == {"valence": 0.0, "arousal": 0.0}
    assert mean(correlations(-target_NA, target_NA)) == pytest.approx(-1)


def test_ridge_regression_is_the_linear_answer(splits: dict[str, Read]) -> None:
    out_NA = ridge(splits, 1.0)(splits["test"].text[ALONE])
    assert min(correlations(out_NA, splits["test"].target_NA).values()) > 0.95


def test_label_probabilities_are_those_of_words_alone_at_the_start_of_a_conversation() -> None:
    torch.manual_seed(0)
    net = GruLmam(Config(text=8, audio=1, visual=4, dim=16, rank=4)).eval()
    fusion = Fusion(net, tuple("abcdefg"), Temperatures.same(1.5), Prior(("duration",), (1.0,), (1.0,)), {})
    text_ND = torch.randn(300, 8)
    found_NK = label_probabilities(fusion, text_ND)
    assert found_NK.sum(1) == pytest.approx(np.ones(300), abs=1e-5)
    turn = Turn(
        text_ND[299:],
        torch.full((1, 1), 3.0),
        torch.full((1, 4), 3.0),
        torch.tensor([[True, False, False]]),
        torch.tensor([0]),
    )
    with torch.inference_mode():
        logits_1K, _ = net.step(turn, net.init_state(1))
    torch.testing.assert_close(found_NK[299:], probabilities(logits_1K, 1.5))


@pytest.mark.parametrize("context", [0, 8])
def test_sentences_are_read_under_each_condition_and_kept(tmp_path: Path, context: int) -> None:
    """An encoder that knows nothing of what was said before has no condition of that name."""
    of = Sentences("toy", MEASURES, ("v", "a", "d"), {"train": texts(14), "dev": texts(7)}, "ours", "yes")
    encoder = small_encoder(context=context)
    found = read(encoder, of, tmp_path)
    expected = {ALONE, MISHEARD} | ({CONTEXT} if context else set())
    assert set(found["train"].text) == expected
    assert found["train"].target_NA.shape == (14, 2)
    alone_ND = found["train"].text[ALONE]
    torch.testing.assert_close(alone_ND[3], encoder.encode([of.splits["train"].texts[3]], [0])[0])
    if context:
        in_context_ND = found["train"].text[CONTEXT]
        torch.testing.assert_close(in_context_ND[6], alone_ND[6])  # the first of the second conversation
        assert not torch.allclose(in_context_ND[8], alone_ND[8], atol=1e-4)
    kept = sorted(tmp_path.iterdir())
    again = read(encoder, of, tmp_path)
    assert sorted(tmp_path.iterdir()) == kept
    assert torch.equal(again["dev"].text[MISHEARD], found["dev"].text[MISHEARD])
    assert set(read(encoder, of, tmp_path, more=False)["dev"].text) == {ALONE}


def test_misheard_sentences_are_the_same_each_time_and_never_empty() -> None:
    part = Part(("Never, ever!", "Ok", "日本"), (0,) * 3, np.zeros((3, 3), np.float32))
    errors = WordErrors(part.texts)
    assert misheard(part, "test", errors) == misheard(part, "test", errors)
    assert all(misheard(part, "test", errors))


def test_a_plan_with_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("epoch = 3\n")
    with pytest.raises(ValueError, match=r"plan\.toml: epoch"):
        Plan.read(path)
    with pytest.raises(ValueError, match=r"none\.toml: cannot be read"):
        Plan.read(tmp_path / "none.toml")
    assert Plan.read() == Plan()
