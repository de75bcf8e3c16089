"""Training: what it learns from, what it keeps, that it goes on exactly, and that devices share a batch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.amp import GradScaler

from models.span import FULL, Span
from models.training.config import MODALITIES, TrainingError
from models.training.engine import Plain, scaler_of
from models.training.fit import Fit, predict, scores_of
from models.training.tensors import Tensors, scales, tensors
from tests.models.training.corpora import config, corpus


def data(train: int = 12) -> Tensors:
    toy = corpus(train=train)
    return tensors(toy, MODALITIES, scales(toy, MODALITIES))


def trained(fit: Fit) -> Fit:
    for _ in fit.epochs():
        pass
    return fit


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_it_learns_and_keeps_the_best_epoch_of_dev() -> None:
    fit = Fit(config(**{"train.epochs": 15}), data(24), 0)
    before = scores_of(fit.model, fit.data.splits["test"])["weighted_f1"]
    epochs = list(fit.epochs())
    best = max(e.dev["weighted_f1"] for e in epochs)
    fit.model.load_state_dict(fit.best)
    assert scores_of(fit.model, fit.data.splits["dev"])["weighted_f1"] == best
    assert fit.progress.best_epoch == next(e.number for e in epochs if e.dev["weighted_f1"] == best)
    assert [e.best for e in epochs].count(True) >= 1
    assert scores_of(fit.model, fit.data.splits["test"])["weighted_f1"] > max(80, before + 20)


def test_the_least_loss_of_dev_can_choose_instead() -> None:
    fit = Fit(config(**{"train.choose": "loss", "train.epochs": 8}), data(), 0)
    losses = [e.dev["loss"] for e in fit.epochs()]
    assert fit.progress.best_epoch == 1 + losses.index(min(losses))


def test_it_stops_when_dev_no_longer_improves() -> None:
    fit = Fit(config(**{"train.epochs": 200, "train.patience": 3}), data(), 0)
    epochs = list(fit.epochs())
    assert len(epochs) < 200
    assert epochs[-1].number == fit.progress.best_epoch + 3
    assert fit.finished


def test_the_same_seed_gives_the_same_and_another_one_another() -> None:
    a, b, c = (trained(Fit(config(), data(), seed)).best for seed in (3, 3, 4))
    assert same(a, b)
    assert not same(a, c)


def test_test_labels_are_never_looked_at() -> None:
    read = data()
    test = read.splits["test"]
    other = replace(read, splits={**read.splits, "test": replace(test, label_U=(test.label_U + 1) % 3)})
    assert same(trained(Fit(config(), read, 0)).best, trained(Fit(config(), other, 0)).best)


def test_padding_and_unlabelled_utterances_train_nothing() -> None:
    """Whatever their features hold, the weights after training are the same."""
    read = data()
    part = read.splits["train"]
    label_U = part.label_U.clone()
    label_U[:5] = -1
    hidden = replace(part, label_U=label_U)
    rows = part.text_UT.clone()
    rows[-1] = 1e6  # the row of padding
    poisoned = replace(hidden, text_UT=rows, present_UM=part.present_UM.clone())
    poisoned.present_UM[-1] = True
    a, b = (
        trained(Fit(config(), replace(read, splits={**read.splits, "train": s}), 0)).best
        for s in (hidden, poisoned)
    )
    assert same(a, b)
    assert not same(a, trained(Fit(config(), read, 0)).best)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_goes_on_from_its_state_as_if_never_interrupted(stop: int) -> None:
    """Order, dropout, schedule, optimiser and the best so far: all are part of the state."""
    run = config(
        **{"train.schedule": "cosine", "train.warm_up": 0.2, "train.modality_dropout": {"text": 0.2}}
    )
    whole = Fit(run, data(), 0)
    said = list(whole.epochs())
    first = Fit(run, data(), 0)
    epochs = first.epochs()
    for _ in range(stop):
        next(epochs)
    state = first.state()
    torch.manual_seed(999)  # another process
    second = Fit(run, data(), 0)
    second.load(state)
    assert same(second.best, first.best)
    assert list(second.epochs()) == said[stop:]
    assert same(second.best, whole.best)
    assert second.progress == whole.progress


class Float16(Plain):
    """A CPU that scales the loss as a GPU in float16 does."""

    def __init__(self, scale: float) -> None:
        self.strategy = SimpleNamespace(precision=SimpleNamespace(scaler=GradScaler("cpu", init_scale=scale)))


def test_the_scale_of_float16_gradients_goes_on_too() -> None:
    first, second = (Fit(config(), data(), 0, Float16(scale)) for scale in (8.0, 64.0))
    second.load(first.state())
    assert scaler_of(second.engine).get_scale() == 8.0
    assert scaler_of(Plain()) is None


def test_random_numbers_are_not_reset_each_epoch() -> None:
    fit = Fit(config(), data(), 0)
    orders = [[w.tolist() for w in fit._batches()] for _ in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert all(sorted(i for b in o for i in b) == list(range(12)) for o in orders)


def test_conversations_of_like_length_come_together() -> None:
    """Less is padded than in a plain random order, and every conversation still comes once."""
    fit = Fit(config(), data(64), 0)
    lengths = fit.train.length_B

    def padded(batches: list[Tensor]) -> int:
        return sum(int(lengths[w].max()) * len(w) for w in batches)

    plain = list(torch.split(torch.randperm(64, generator=torch.Generator().manual_seed(0)), 4))
    assert padded(list(fit._batches())) < 0.9 * padded(plain)


class Share(Plain):
    """One of several devices, alone in its process: gradients are kept, not averaged."""

    def __init__(self, rank: int, world: int) -> None:
        self.global_rank, self.world_size = rank, world

    def clip_gradients(self, module: Any, optimizer: Any, **_: object) -> None:
        self.gradients = [None if p.grad is None else p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize("conversations", [5, 2, 1])
@pytest.mark.parametrize("hidden", [{}, {"text": 0.5}])
def test_shares_of_a_batch_have_together_the_gradient_of_the_whole(
    conversations: int, hidden: dict[str, float]
) -> None:
    """Also where there are fewer conversations than devices, classes weigh differently, modalities drop."""
    balanced: dict[str, Any] = {"train.class_weights": "balanced", "train.modality_dropout": hidden}
    run = config(**{"model.dropout": 0.0, **balanced})
    which = torch.arange(conversations)

    def gradients(rank: int, world: int) -> list[Tensor]:
        engine = Share(rank, world)
        Fit(run, data(), 0, engine)._step(which)
        return [torch.zeros(1) if g is None else g for g in engine.gradients]

    whole = gradients(0, 1)
    shares = [gradients(rank, 3) for rank in range(3)]
    for i, want in enumerate(whole):
        torch.testing.assert_close(sum(s[i] for s in shares) / 3, want, atol=1e-6, rtol=1e-4)


def test_dropped_modalities_are_dropped_in_training_alone() -> None:
    """All but always dropped, a modality alone teaches nothing; without dropout it does."""
    run = config(**{"data.modalities": ["text"], "train.epochs": 8})
    toy = corpus(train=24)
    read = tensors(toy, ("text",), scales(toy, ("text",)))
    free = trained(Fit(run, read, 0)).progress.best_dev["loss"]
    starved = trained(Fit(run.replace(**{"train.modality_dropout": {"text": 0.97}}), read, 0))
    assert starved.progress.best_dev["loss"] > free + 0.1


def test_noise_on_features_is_part_of_the_seed_and_of_training_alone() -> None:
    """It changes what is learnt, the same way each time, scaled by each feature's deviation."""
    noise: dict[str, Any] = {"train.feature_noise": {"text": 0.5}}
    quiet, loud, again = (trained(Fit(config(**c), data(), 0)) for c in ({}, noise, noise))
    assert same(loud.best, again.best)
    assert not same(loud.best, quiet.best)
    assert loud.std.keys() == {"text"}
    part = loud.data.splits["train"]
    said_UD = part.text_UT[part.present_UM[:, 0]]
    torch.testing.assert_close(loud.std["text"], said_UD.std(0))
    assert len(said_UD) < len(part.label_U) - 1, "somebody says nothing: those rows are no zeros of text"
    before = loud.data.splits["dev"].text_UT
    assert torch.equal(before, quiet.data.splits["dev"].text_UT)


def test_predictions_stand_in_the_order_of_the_corpus() -> None:
    fit = Fit(config(), data(), 0)
    part = fit.data.splits["test"]
    logits_UC = predict(fit.model, part)
    dialogue, _ = part.batch(torch.tensor([4]))
    with torch.no_grad():
        want = fit.model.eval()(dialogue)[0]
    torch.testing.assert_close(logits_UC[part.rows_BN[4][: len(want)]], want)


@pytest.mark.parametrize(
    ("schedule", "warm_up", "want"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.75, 0.5, 0.25]),
        ("linear", 0.5, [0.5, 1, 1, 0.5]),
        ("cosine", 0.0, [1, 0.8536, 0.5, 0.1464]),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: str, warm_up: float, want: list[float]) -> None:
    run = config(
        **{"train.schedule": schedule, "train.warm_up": warm_up, "train.epochs": 4, "train.batch": 12}
    )
    fit = Fit(run, data(), 0)
    assert [fit._rate(step) for step in range(4)] == pytest.approx(want, abs=1e-3)
    assert [e.lr / run.train.lr for e in fit.epochs()][:3] == pytest.approx(want[1:], abs=1e-3)


def test_every_key_of_the_configuration_has_its_effect() -> None:
    """On the model and on what optimises it."""
    changes: dict[str, Any] = {
        "model.host": "transformer",
        "model.fusion": "lmam",
        "model.placement": "early-residual",
        "model.context": "full",
        "model.dim": 12,
        "model.speakers": 3,
        "model.dropout": 0.3,
        "model.host_options": {"heads": 3},
        "model.fusion_options": {"rank": 2},
        "train.lr": 0.02,
        "train.weight_decay": 0.03,
    }
    fit = Fit(config(**changes), data(), 0)
    built = fit.model.config
    for key, value in changes.items():
        table, _, name = key.partition(".")
        if table == "model" and name != "context":
            assert getattr(built, name) == value, key
    assert built.span == FULL
    assert Fit(config(**{"model.window": 5}), data(), 0).model.config.span == Span(5, 0)
    (group,) = fit.optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.03)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model.fusion": "concta"}, r"\[model\]: no fusion 'concta'; there are add"),
        ({"model.fusion_options": {"dim": 3}}, r"\[model\]: fusion_options: 'dim' is the model's own"),
        ({"model.host_options": {"dropout": 0.1}}, r"\[model\]: host_options: 'dropout' is the model's own"),
        ({"model.fusion": "lmam", "model.fusion_options": {"rank": "a"}}, "fusion 'lmam' with {'rank': 'a'}"),
        ({"model.host": "mmgcn", "model.host_options": {"layers": "a"}}, "host 'mmgcn' with {'layers': 'a'}"),
    ],
)
def test_what_cannot_be_built_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        Fit(config(**change), data(), 0)


def test_weights_that_are_no_longer_numbers_end_the_run() -> None:
    """Rather than go on for nothing and keep a model that says nothing."""
    with pytest.raises(TrainingError, match=r"epoch 1: the loss of dev is nan; lower train\.lr"):
        trained(Fit(config(**{"train.lr": 1e30}), data(), 0))


@pytest.mark.parametrize("name", ["train", "dev"])
def test_a_split_without_labels_is_named(name: str) -> None:
    read = data()
    part = read.splits[name]
    bare = replace(part, label_U=torch.full_like(part.label_U, -1))
    with pytest.raises(TrainingError, match=f"no utterance of {name} has a label"):
        Fit(config(), replace(read, splits={**read.splits, name: bare}), 0)


def test_without_dev_there_is_nothing_to_choose_on() -> None:
    read = data()
    with pytest.raises(TrainingError, match="no split dev"):
        Fit(config(), replace(read, splits={"train": read.splits["train"]}), 0)


def test_a_model_that_memory_does_not_suffice_for_is_named() -> None:
    """Half a million features of each modality, multiplied out: more than a processor can address."""
    huge = config(**{"model.fusion": "tfn", "model.fusion_options": {"small": 500_000}})
    with pytest.raises(TrainingError, match=r"\[model\]: .*memory"):
        Fit(huge, data(), 0)
