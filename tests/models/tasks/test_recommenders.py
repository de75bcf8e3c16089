"""GRU4Rec and SASRec with any fusion: what they read, and what they are trained by."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.tasks.recommenders import CORES, Candidates, Config, Recommender

FUSIONS = ("concat", "gated", "self-attention", "lmam", "lmam-published")


def small(core: str, fusion: str | None = None, seed: int = 0) -> Recommender:
    torch.manual_seed(seed)
    config = Config(items=30, categories=6, core=core, fusion=fusion, dim=16, length=7, dropout=0.0)
    return Recommender(config).eval()


def clicks(rows: int = 3, n: int = 5, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 31, (rows, n), generator=generator)
    return items, items % 6 + 1, torch.ones(rows, n, dtype=torch.bool)


@pytest.mark.parametrize("fusion", [None, *FUSIONS])
@pytest.mark.parametrize("core", CORES)
@torch.no_grad()
def test_what_is_foretold_depends_on_nothing_later(core: str, fusion: str | None) -> None:
    model = small(core, fusion)
    items, categories, valid = clicks()
    before = model(items, categories, valid)
    items[:, 3:], categories[:, 3:] = 7, 2
    after = model(items, categories, valid)
    torch.testing.assert_close(after[:, :3], before[:, :3], atol=1e-5, rtol=0)
    assert (after[:, 3:] - before[:, 3:]).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", [None, *FUSIONS])
@pytest.mark.parametrize("core", CORES)
@torch.no_grad()
def test_padding_and_the_rest_of_the_batch_change_nothing(core: str, fusion: str | None) -> None:
    model = small(core, fusion)
    items, categories, valid = clicks()
    alone = model(items[:1, :2], categories[:1, :2], valid[:1, :2])
    items[0, 2:], categories[0, 2:], valid[0, 2:] = 0, 0, False
    together = model(items, categories, valid)
    torch.testing.assert_close(together[:1, :2], alone, atol=1e-5, rtol=0)
    assert together.isfinite().all()


@pytest.mark.parametrize("core", CORES)
def test_two_models_that_differ_in_the_fusion_share_every_other_parameter(core: str) -> None:
    one, *others = (
        {n: p for n, p in small(core, fusion).named_parameters() if not n.startswith("fusion.")}
        for fusion in FUSIONS
    )
    for other in others:
        assert other.keys() == one.keys()
        assert all(torch.equal(other[n], one[n]) for n in one)


@pytest.mark.parametrize("core", CORES)
@torch.no_grad()
def test_the_baseline_reads_items_alone_and_the_others_both(core: str) -> None:
    items, categories, valid = clicks()
    for fusion in (None, "concat", "lmam"):
        model = small(core, fusion)
        same = torch.equal(model(items, categories, valid), model(items, categories % 6 + 1, valid))
        assert same == (fusion is None)


@torch.no_grad()
def test_scores_are_of_the_items_without_the_padding() -> None:
    model = small("sasrec")
    z = torch.randn(4, 16)
    assert model.scores(z).shape == (4, 30)
    torch.testing.assert_close(model.scores(z)[:, 6], z @ model.item(torch.tensor(7)))


def test_an_unknown_core_is_named() -> None:
    with pytest.raises(ValueError, match="no recommender 'narm'; there are gru4rec, sasrec"):
        small("narm")


def test_all_items_as_candidates_is_plain_cross_entropy() -> None:
    model, z, targets = small("gru4rec"), torch.randn(6, 16), torch.tensor([1, 5, 30, 2, 2, 9])
    generator = torch.Generator().manual_seed(0)
    loss = Candidates(torch.ones(30), 0, generator).loss(model, z, targets)
    torch.testing.assert_close(loss, F.cross_entropy(model.scores(z), targets - 1))


@torch.no_grad()
def test_a_sample_of_items_estimates_the_loss_over_all() -> None:
    """The more are drawn, the nearer, whatever the counts by which they are drawn."""
    model, z, targets = small("gru4rec"), torch.randn(64, 16), torch.randint(1, 31, (64,))
    counts = torch.arange(30) ** 2
    whole = F.cross_entropy(model.scores(z), targets - 1)
    gaps = []
    for size in (20, 20_000):
        candidates = Candidates(counts, size, torch.Generator().manual_seed(0))
        gaps.append(float((candidates.loss(model, z, targets) - whole).abs()))
    assert gaps[1] < min(0.02, gaps[0])


def test_only_padding_has_no_gradient() -> None:
    model = small("gru4rec", "concat").train()
    items, categories, valid = clicks()
    items[0, 4:], categories[0, 4:], valid[0, 4:] = 0, 0, False
    z = model(items, categories, valid)[valid]
    loss = Candidates(torch.ones(30), 0, torch.Generator()).loss(model, z, items[valid])
    loss.backward()  # type: ignore[no-untyped-call]
    assert model.category is not None
    for embedding in (model.item, model.category):
        assert embedding.weight.grad is not None
        assert not embedding.weight.grad[0].any()
        assert embedding.weight.grad[1:].abs().sum() > 0
