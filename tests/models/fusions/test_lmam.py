"""LMAM in the seam of the fusions, and as a part for models that know nothing of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models import fusions
from models.fusions.lmam import LMAMFusion
from models.lmam import MEMORY, PUBLISHED, SQUASH, Form
from models.span import FULL, Span
from models.state import State
from tests.models.fusions.rows import gradients, make_rows, stepped

NAMES = ["mean", *(name for name in fusions.FUSIONS if name.startswith("lmam"))]


def make(name: str, span: Span = FULL, dim: int = 16, **options: object) -> fusions.Fusion:
    torch.manual_seed(2)
    return fusions.build(name, modalities=3, dim=dim, span=span, **options)


@pytest.mark.parametrize("name", NAMES)
def test_whole_is_stepped_and_every_weight_matters(name: str) -> None:
    """Past the window too; what is absent gets no gradient."""
    h_BNMD, present_BNM = make_rows(n=9, dim=16)
    fusion = make(name, Span(4)).double()
    with torch.no_grad():
        torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), fusion(h_BNMD, present_BNM))
    grad_BNMD = gradients(fusion, h_BNMD, present_BNM)
    assert torch.equal(grad_BNMD[~present_BNM], torch.zeros_like(grad_BNMD[~present_BNM]))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("lmam-published", PUBLISHED),
        ("lmam-published-temperature", Form(rank=None, squash="temperature", memory="text", sharing="one")),
        ("lmam-published-memories", Form(rank=None, squash="tanh", memory="all", sharing="one")),
        ("lmam-low-rank-shared", Form(rank=16, squash="tanh", memory="text", sharing="modality")),
        ("lmam-low-rank", Form(rank=16, squash="tanh", memory="text", sharing="one")),
        ("lmam", Form(rank=16, squash="temperature", memory="text", sharing="modality")),
        ("lmam-all-memories", Form(rank=16, squash="temperature", memory="all", sharing="modality")),
    ],
)
@torch.no_grad()
def test_a_name_is_a_form(name: str, form: Form) -> None:
    """Same first values and z as the block of that form, which its own tests tie to the paper."""
    torch.manual_seed(2)
    block = form.build(modalities=3, dim=16, span=Span(3)).double()
    h_BNMD, present_BNM = make_rows(dim=16)
    got = make(name, Span(3)).double()(h_BNMD, present_BNM)
    assert torch.equal(got, block(h_BNMD, present_BNM))


@torch.no_grad()
def test_options_switch_each_repair_alone() -> None:
    """Every combination is there and no two of them say the same."""
    h_BNMD, present_BNM = make_rows(dim=16)
    seen: list[Tensor] = []
    for squash in SQUASH:
        for memory in MEMORY:
            for rank, sharing in ((None, "one"), (4, "one"), (4, "modality")):
                fusion = make("lmam", rank=rank, squash=squash, memory=memory, sharing=sharing)
                for p in fusion.parameters():
                    nn.init.normal_(p, std=0.5)
                seen.append(fusion.double()(h_BNMD, present_BNM))
    assert len(seen) == 24
    assert not any(torch.allclose(a, b) for i, a in enumerate(seen) for b in seen[:i])


@torch.no_grad()
def test_mean_is_the_published_block_with_nothing_to_match() -> None:
    """W = 0 and b = 0 give every valid row the same weight: the limit of the bounded tanh."""
    h_BNMD, present_BNM = make_rows(dim=16)
    published = make("lmam-published", Span(3)).double()
    for p in published.parameters():
        p.zero_()
    torch.testing.assert_close(
        make("mean", Span(3)).double()(h_BNMD, present_BNM), published(h_BNMD, present_BNM)
    )


@torch.no_grad()
def test_full_context_reads_ahead_and_a_causal_span_does_not() -> None:
    """The first utterance depends on the last with the whole conversation in sight, and only then."""
    h_BNMD, _ = make_rows(dim=16)
    h_BNMD = h_BNMD.nan_to_num(1.0)
    present_BNM = torch.ones(h_BNMD.shape[:3], dtype=torch.bool)
    later = h_BNMD.clone()
    later[:, -1] += 1
    for name in NAMES:
        for span, ahead in ((FULL, True), (Span(None, 0), False), (Span(4, 0), False)):
            fusion = make(name, span).double()
            same = torch.equal(fusion(later, present_BNM)[:, 0], fusion(h_BNMD, present_BNM)[:, 0])
            assert same != ahead, f"{name} over {span}"


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ValueError, match=r"fusion 'lmam' with .*ranks"):
        make("lmam", ranks=3)
    with pytest.raises(ValueError, match="no squash 'x'"):
        make("lmam", squash="x")


WIDTHS = {"words": 7, "voice": 3, "face": 5}


def sequences(n: int = 6) -> dict[str, Tensor]:
    torch.manual_seed(4)
    return {name: torch.randn(2, n, width) for name, width in WIDTHS.items()}


@torch.no_grad()
def test_drop_in_takes_a_dict_or_a_list() -> None:
    """The same weights and inputs, by name in any order or in order."""
    torch.manual_seed(0)
    named = LMAMFusion(WIDTHS, 16)
    torch.manual_seed(0)
    listed = LMAMFusion(list(WIDTHS.values()), 16)
    x = sequences()
    z = named(x)
    assert z.shape == (2, 6, 16)
    assert torch.equal(z, named(dict(reversed(x.items()))))
    assert torch.equal(z, listed(list(x.values())))


@torch.no_grad()
def test_drop_in_is_its_maps_and_the_block() -> None:
    """Nothing else happens to the inputs."""
    fusion, x = LMAMFusion(WIDTHS, 16, form=PUBLISHED), sequences()
    h_BNMD = torch.stack([map_(row) for map_, row in zip(fusion.maps, x.values(), strict=True)], 2)
    torch.testing.assert_close(fusion(x), fusion.block(h_BNMD, torch.ones(2, 6, 3, dtype=torch.bool)))


def test_drop_in_reads_nothing_that_is_masked() -> None:
    """NaN under a mask of one modality, or of all, leaves z and every gradient as it was."""
    fusion, x = LMAMFusion(WIDTHS, 16), sequences()
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1, 4:] = False
    masks = {"words": valid, "voice": valid & (torch.arange(6) != 2), "face": None}
    poisoned = dict(x)
    for name, mask in masks.items():
        if mask is not None:
            poisoned[name] = torch.where(mask.unsqueeze(-1), x[name], torch.nan)
    z = fusion(poisoned, masks)
    assert torch.equal(z, fusion(x, masks))
    z.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in fusion.parameters())
    short = {name: row[1:, :4] for name, row in x.items()}
    torch.testing.assert_close(fusion(x, valid)[1:, :4], fusion(short))
    assert torch.equal(fusion(x, valid)[1, 4:], torch.zeros(2, 16))


@torch.no_grad()
def test_drop_in_without_a_modality_is_that_modality_masked() -> None:
    """None stands for a modality that is absent throughout."""
    fusion, x = LMAMFusion(WIDTHS, 16, form=Form(memory="all")), sequences()
    never = torch.zeros(2, 6, dtype=torch.bool)
    want = fusion(x, {"words": None, "voice": None, "face": never})
    torch.testing.assert_close(fusion({**x, "face": None}), want)


@torch.no_grad()
def test_drop_in_steps() -> None:
    """With a causal span the rows come one at a time, the same as all at once."""
    fusion, x = LMAMFusion(WIDTHS, 16, span=Span(3)), sequences()
    mask = torch.rand(2, 6) < 0.7
    state, rows = fusion.init_state(2), []
    for n in range(6):
        z_BD, state = fusion.step({name: row[:, n] for name, row in x.items()}, state, mask[:, n])
        rows.append(z_BD)
    torch.testing.assert_close(torch.stack(rows, 1), fusion(x, mask))
    with pytest.raises(ValueError, match="cannot be stepped"):
        LMAMFusion(WIDTHS, 16).init_state(2)


class OneStep(nn.Module):
    """What is exported for streaming: state in, state out."""

    def __init__(self, fusion: LMAMFusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, inputs: dict[str, Tensor], state: State) -> tuple[Tensor, State]:
        return self.fusion.step(inputs, state)


@pytest.mark.timeout(120)  # the first export of a process imports much
@torch.no_grad()
@pytest.mark.parametrize("form", [PUBLISHED, Form(rank=4), Form(rank=4, memory="all")])
def test_drop_in_compiles_and_exports(form: Form) -> None:
    """Whole sequences in one graph without a break; a step with its state, both ways the same."""
    fusion, x = LMAMFusion(WIDTHS, 8, form=form, span=Span(3)).eval(), sequences()
    compiled = torch.compile(fusion, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), fusion(x))
    one, now = OneStep(fusion), {name: row[:, 0] for name, row in x.items()}
    exported = torch.export.export(one, (now, fusion.init_state(2))).module()
    state = one(now, fusion.init_state(2))[1]
    (z, after), (want, want_after) = exported(now, state), one(now, state)
    torch.testing.assert_close(z, want)
    torch.testing.assert_close(after.tensors(), want_after.tensors())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"voice": torch.zeros(2, 5, 3)}, r"'voice': expected \(2, 6, 3\)"),
        ({"voice": torch.zeros(2, 6, 4)}, r"'voice': expected \(2, 6, 3\)"),
        ({"smell": torch.zeros(2, 6, 4)}, "expected a dict of .*words"),
        ({"words": None, "voice": None, "face": None}, "every one of words, voice, face is None"),
    ],
)
def test_drop_in_says_what_does_not_fit(change: dict[str, Tensor | None], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LMAMFusion(WIDTHS, 16)({**sequences(), **change})


def test_drop_in_says_which_mask_or_container_does_not_fit() -> None:
    fusion, x = LMAMFusion(WIDTHS, 16), sequences()
    with pytest.raises(ValueError, match=r"mask of 'words': expected bool \(2, 6\), got torch.float32"):
        fusion(x, torch.ones(2, 6))
    with pytest.raises(ValueError, match="inputs: expected a dict"):
        fusion(list(x.values()))
    with pytest.raises(ValueError, match="inputs: expected the names"):
        fusion({"words": x["words"], "voice": x["voice"], "taste": x["face"]})
    with pytest.raises(ValueError, match="expected one modality or more"):
        LMAMFusion({})
