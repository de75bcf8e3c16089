"""LMAM against its equations written out with loops, one number at a time, in every form, mask and span."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.lmam import LMAM, MEMORY, PUBLISHED, SQUASH, Form, FullMatching, LowRankMatching, NoMatching
from models.masks import masked_softmax
from models.span import FULL, Span

MODALITIES, DIM = 3, 6
FORMS = [
    *(Form(rank=None, squash=s, memory=m, sharing="one") for s, m in product(SQUASH, MEMORY)),
    *(
        Form(rank=2, squash=s, memory=m, sharing=w)
        for s, m, w in product(SQUASH, MEMORY, ("one", "modality"))
    ),
    None,  # no matching: the mean
]
SPANS = [FULL, Span(None, 0), Span(1, 0), Span(3, 0), Span(2, 2), Span(None, 1)]
MASKS = ["everything", "holes", "no text", "padding"]


def name(form: Form | None) -> str:
    return "mean" if form is None else f"{form.rank}-{form.squash}-{form.memory}-{form.sharing}"


def make(form: Form | None, span: Span = FULL) -> LMAM:
    """A block with every parameter, temperatures too, drawn at random."""
    torch.manual_seed(1)
    if form is None:
        return LMAM(NoMatching(DIM), memories=1, dim=DIM, span=span)
    block = form.build(modalities=MODALITIES, dim=DIM, span=span)
    if block.match.log_beta_K is not None:
        torch.nn.init.normal_(block.match.log_beta_K)
    return block


def presence(mask: str, n: int = 4) -> Tensor:
    """``[B, N, M]``: one conversation, or two of different length."""
    g = torch.Generator().manual_seed(3)
    present_BNM = torch.rand(2 if mask == "padding" else 1, n, MODALITIES, generator=g) < 0.6
    present_BNM[0, 1] = False
    if mask == "everything":
        return torch.ones_like(present_BNM)
    if mask == "no text":
        present_BNM[..., 0] = False
    if mask == "padding":
        present_BNM[1, n // 2 :] = False
    return present_BNM


def weight(block: LMAM, m: int, k: int) -> Tensor:
    """W of equation 1 for modality ``m`` asking ``k``, put together by equation 6 where it is low-rank."""
    own = dict(block.match.named_parameters())
    if "W.weight" in own:
        return own["W.weight"]
    if "U_DR" in own:
        return own["U_DR"] @ own["V_DR"].T
    if "U_KDR" in own:
        return own["U_KDR"][k] @ own["V_DR"].T
    if "U_MDR" in own:
        return own["V_DR"] @ own["U_MDR"][m].T
    return torch.zeros(DIM, DIM, dtype=block.like.dtype)


def squashed(block: LMAM, s: Tensor, k: int) -> Tensor:
    beta = None if block.match.log_beta_K is None else block.match.log_beta_K[k].exp()
    if "tanh" in block.match.squash:
        s = torch.tanh(s)
    return s if beta is None else s * beta


def by_the_equations(block: LMAM, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
    """Equations 1-6 row by row."""
    B, N, M, D = h_BNMD.shape
    bias = dict(block.match.named_parameters()).get("W.bias", h_BNMD.new_zeros(D))
    W = {(m, k): weight(block, m, k) for m in range(M) for k in range(block.memories)}
    past, future = block.span.past or N, N if block.span.future is None else block.span.future
    z_BND = []
    for b in range(B):
        for t in range(N):
            reads, here = h_BNMD.new_zeros(D), [m for m in range(M) if present_BNM[b, t, m]]
            for m in here:
                for k in range(block.memories):
                    js = [j for j in range(N) if t - past < j <= t + future and present_BNM[b, j, k]]
                    if not js:
                        continue
                    q = W[m, k] @ h_BNMD[b, t, m] + bias  # 1, 6
                    s = torch.stack([q @ h_BNMD[b, j, k] for j in js])  # 2
                    a = F.softmax(squashed(block, s, k), 0)  # 3
                    reads = reads + sum(a[i] * h_BNMD[b, j, k] for i, j in enumerate(js))  # 4
            own = [m for m in here if m < block.memories] or here
            z_BND.append(F.gelu(reads) + sum((h_BNMD[b, t, m] for m in own), h_BNMD.new_zeros(D)))  # 5
    return torch.stack(z_BND).view(B, N, D)


def with_gradients(block: LMAM, h_BNMD: Tensor, z_BND: Tensor, up_BND: Tensor) -> list[Tensor]:
    """z and its gradients, weighted by ``up``, in the features and in every parameter."""
    wanted = [h_BNMD, *block.parameters()]
    found = torch.autograd.grad(z_BND, wanted, up_BND.to(z_BND.dtype), allow_unused=True)
    return [
        z_BND.detach(),
        *(torch.zeros_like(w) if g is None else g for g, w in zip(found, wanted, strict=True)),
    ]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("form", FORMS, ids=name)
def test_forward_and_its_gradients_are_the_equations(form: Form | None, mask: str) -> None:
    """To 1e-10 in float64 and, relative to the largest entry, 1e-5 in float32, whatever the span."""
    present_BNM = presence(mask)
    h_BNMD = torch.randn(*present_BNM.shape, DIM)
    up_BND = torch.randn(*h_BNMD.shape[:2], DIM)
    for span in SPANS:
        single = make(form, span)
        double = copy.deepcopy(single).double()
        h64, h32 = h_BNMD.double().requires_grad_(), h_BNMD.clone().requires_grad_()
        want = with_gradients(double, h64, by_the_equations(double, h64, present_BNM), up_BND)
        got = with_gradients(double, h64, double(h64, present_BNM), up_BND)
        for g, w in zip(got, want, strict=True):
            torch.testing.assert_close(g, w, atol=1e-10, rtol=0, msg=lambda m, s=span: f"{s}: {m}")
        got = with_gradients(single, h32, single(h32, present_BNM), up_BND)
        # A gradient is one vector: the temperature's own entry may be the small rest of large terms.
        largest = max(w.abs().max().item() for w in want[1:])
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            atol = 1e-5 * (largest if i else w.abs().max().item())
            torch.testing.assert_close(
                g.double(), w, atol=atol, rtol=0, msg=lambda m, s=span: f"{s} in float32: {m}"
            )


@torch.no_grad()
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("form", FORMS, ids=name)
def test_step_is_forward(form: Form | None, mask: str) -> None:
    """Stepping with the rolling memory gives what the windowed mask gives, past the window as well."""
    present_BNM = presence(mask, 9)
    h_BNMD = torch.randn(*present_BNM.shape, DIM)
    for window in (1, 3, 16):
        block = make(form, Span(window)).double()
        memory, rows = block.memory(len(h_BNMD)), []
        sizes = {n: t.shape for n, t in memory.items()}
        for t in range(9):
            z_BD, memory = block.step(h_BNMD[:, t].double(), present_BNM[:, t], memory)
            rows.append(z_BD)
        want = block(h_BNMD.double(), present_BNM)
        torch.testing.assert_close(torch.stack(rows, 1), want, atol=1e-10, rtol=0)
        assert {n: t.shape for n, t in memory.items()} == sizes, "the memory grows"


@pytest.mark.parametrize("form", FORMS, ids=name)
def test_gradients_go_through_the_memory_of_a_step(form: Form | None) -> None:
    """Those of stepping are those of the whole, for rows and weights alike."""
    present_BNM = presence(MASKS[0], 6)
    h_BNMD = torch.randn(*present_BNM.shape, DIM, dtype=torch.float64)
    up_BND = torch.randn(*h_BNMD.shape[:2], DIM, dtype=torch.float64)
    block = make(form, Span(3)).double()
    whole, stepped = h_BNMD.clone().requires_grad_(), h_BNMD.clone().requires_grad_()
    want = with_gradients(block, whole, block(whole, present_BNM), up_BND)
    memory, rows = block.memory(len(h_BNMD)), []
    for t in range(6):
        z_BD, memory = block.step(stepped[:, t], present_BNM[:, t], memory)
        rows.append(z_BD)
    got = with_gradients(block, stepped, torch.stack(rows, 1), up_BND)
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, atol=1e-10, rtol=0)


def test_a_step_keeps_the_row_and_its_key_and_works_out_neither_again() -> None:
    """d + r numbers for each remembered row; with a full weight the row is its own key and stands once."""
    sizes = {
        n: tuple(t.shape) for n, t in Form(rank=2).build(modalities=3, dim=6, span=Span(4)).memory(1).items()
    }
    assert sizes == {"h": (1, 4, 1, 6), "key": (1, 4, 1, 2), "there": (1, 4, 1)}
    every = Form(rank=2, memory="all").build(modalities=3, dim=6, span=Span(4)).memory(1)
    assert tuple(every["key"].shape) == (1, 4, 3, 2)
    assert set(PUBLISHED.build(modalities=3, dim=6, span=Span(4)).memory(1)) == {"h", "there"}


@pytest.mark.parametrize("span", [FULL, Span(None, 0), Span(4, 1)])
def test_what_looks_ahead_or_without_limit_cannot_be_stepped(span: Span) -> None:
    with pytest.raises(ValueError, match="cannot be stepped"):
        make(FORMS[-2], span).memory(1)


@torch.no_grad()
def test_what_left_the_window_is_forgotten() -> None:
    """With a window of 3, utterance 5 does not depend on utterance 2 and does on utterance 3."""
    block = make(Form(rank=2), Span(3))
    h_BNMD, present_BNM = torch.randn(1, 6, MODALITIES, DIM), presence("everything", 6)
    before = block(h_BNMD, present_BNM)[:, 5]
    for t, changes in ((2, False), (3, True)):
        other = h_BNMD.clone()
        other[:, t] += 1
        assert (not torch.allclose(block(other, present_BNM)[:, 5], before)) == changes


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=name)
def test_nothing_present_is_zero_and_nan_does_not_leak(form: Form | None) -> None:
    """An utterance without any modality gives zeros, whatever its features hold."""
    h_BNMD = torch.full((1, 2, MODALITIES, DIM), float("nan"))
    h_BNMD[0, 1, [0, 2]] = 1.0
    present_BNM = torch.tensor([[[False] * 3, [True, False, True]]])
    z_BND = make(form)(h_BNMD, present_BNM)
    assert torch.equal(z_BND[0, 0], torch.zeros(DIM))
    assert torch.isfinite(z_BND).all()


@pytest.mark.parametrize("form", FORMS, ids=name)
def test_gradients_of_masked_entries_are_zero_not_nan(form: Form | None) -> None:
    """A masked NaN must not poison the gradient either: 0 * NaN is NaN."""
    block, present_BNM = make(form), presence("padding")
    h_BNMD = torch.randn(*present_BNM.shape, DIM)
    h_BNMD = torch.where(present_BNM.unsqueeze(-1), h_BNMD, float("nan")).requires_grad_()
    block(h_BNMD, present_BNM).square().sum().backward()
    assert h_BNMD.grad is not None
    assert torch.equal(h_BNMD.grad[~present_BNM], torch.zeros_like(h_BNMD.grad[~present_BNM]))
    grads = [h_BNMD.grad, *(p.grad for p in block.parameters() if p.grad is not None)]
    assert all(torch.isfinite(g).all() for g in grads)


@torch.no_grad()
def test_words_are_remembered_alone_and_voice_stands_in_for_them() -> None:
    """Text memory: voice moves z through the weights alone, unless the utterance has no words."""
    block, present_BNM = make(Form(rank=2)), presence("everything")
    h_BNMD = torch.randn(*present_BNM.shape, DIM)
    h_BNMD[:, :, 0] = h_BNMD[:1, :1, 0]  # the same words throughout: every read-out of them is the same
    louder = h_BNMD.clone()
    louder[:, :, 1] += 1
    torch.testing.assert_close(block(louder, present_BNM), block(h_BNMD, present_BNM))
    present_BNM[:, 2, 0] = False
    change_BND = block(louder, present_BNM) - block(h_BNMD, present_BNM)
    torch.testing.assert_close(change_BND[:, 2], torch.ones(1, DIM))


@torch.no_grad()
def test_tanh_bounds_every_weight_and_a_temperature_does_not() -> None:
    """The published weakness: over L rows no weight exceeds e / (e + (L - 1) / e), 0.131 at 50.

    Identity weights and one row far along a direction of its own: the largest share any row can get.
    """
    e, rows = torch.e, 50
    h_BNMD = torch.zeros(1, rows, 1, 2)
    h_BNMD[..., 0] = -30.0
    h_BNMD[:, 0, :, 0] = 30.0
    share = {}
    for squash in ("tanh", "tanh+temperature", "temperature", "none"):
        block = Form(rank=None, squash=squash, sharing="one").build(modalities=1, dim=2, span=FULL)
        torch.nn.init.eye_(block.match.W.weight)
        torch.nn.init.zeros_(block.match.W.bias)
        if block.match.log_beta_K is not None:
            block.match.log_beta_K.fill_(2.0)
        logit = block.match(block.match.query(h_BNMD), block.match.key(h_BNMD))
        share[squash] = masked_softmax(logit, torch.ones_like(logit, dtype=torch.bool))[0, 0, 0, 0, 0].item()
    assert share["tanh"] == pytest.approx(e / (e + (rows - 1) / e))
    assert share["tanh"] == pytest.approx(0.131, abs=5e-4)
    assert all(share[s] > 0.99 for s in share if s != "tanh")


def test_a_full_weight_is_a_third_of_self_attention_and_a_rank_is_2_d_r() -> None:
    """W against W_Q, W_K and W_V of torch's own attention, without biases; U and V exactly 2 d r."""
    for dim in (8, 128, 512):
        w_qkv = torch.nn.MultiheadAttention(dim, 1, bias=False, device="meta").in_proj_weight.numel()
        assert 3 * FullMatching("tanh", 1, dim).W.weight.numel() == w_qkv
        for rank in (1, 4, 8):
            assert (
                sum(p.numel() for p in LowRankMatching("tanh", 1, dim, rank).parameters()) == 2 * dim * rank
            )


@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        (PUBLISHED, 128**2 + 128),
        (Form(rank=16, squash="tanh", sharing="one"), 2 * 128 * 16),
        (Form(), 4 * 128 * 16 + 1),
        (Form(memory="all"), 4 * 128 * 16 + 3),
        (Form(rank=16, sharing="one"), 2 * 128 * 16 + 1),
    ],
    ids=["published", "low-rank", "small", "all-memories", "low-rank-temperature"],
)
def test_parameters_at_width_128(form: Form, parameters: int) -> None:
    """16,512 as published, 8,193 in the small form: V once, a U for each modality, one temperature."""
    block = form.build(modalities=3, dim=128, span=FULL)
    assert sum(p.numel() for p in block.parameters()) == parameters


@pytest.mark.parametrize("form", [f for f in FORMS if f and f.rank], ids=name)
def test_low_rank_factors_begin_with_the_variance_of_what_they_map(form: Form) -> None:
    """Queries and keys of rows of unit variance have it too: the scores then are of the size of R."""
    torch.manual_seed(0)
    block = replace(form, rank=32).build(modalities=3, dim=256, span=FULL)
    h_BNMD = torch.randn(4, 25, 3, 256)
    for mapped in (block.match.query(h_BNMD), block.match.key(h_BNMD[:, :, : block.memories])):
        assert mapped.shape[-1] == 32
        assert mapped.var().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize(("rank", "size"), [(4, 4), (None, 16)])
def test_a_temperature_begins_as_that_of_scaled_attention_and_on_the_tanh_as_one(
    memory: str, rank: int | None, size: int
) -> None:
    """R^-1/2, or d^-1/2 with a full weight, one for each memory."""
    for squash, start in (("temperature", size**-0.5), ("tanh+temperature", 1.0)):
        block = Form(rank=rank, squash=squash, memory=memory, sharing="one").build(
            modalities=3, dim=16, span=FULL
        )
        beta = block.match.log_beta_K
        assert beta is not None
        torch.testing.assert_close(beta.exp(), torch.full((1 if memory == "text" else 3,), start))


def test_the_form_that_ships_has_the_names_in_its_file() -> None:
    """Renaming a parameter would make the shipped weights unreadable."""
    block = Form(rank=4, memory="all").build(modalities=3, dim=8, span=Span(16))
    shapes = {n: tuple(t.shape) for n, t in block.state_dict().items()}
    assert shapes == {"match.V_DR": (8, 4), "match.U_KDR": (3, 8, 4), "match.log_beta_K": (3,)}


def test_masked_softmax_sums_to_one_or_is_empty() -> None:
    """Rows with something allowed sum to 1, rows with nothing to 0, and the masked share is exactly 0."""
    allowed = torch.tensor([[True, False, True], [False, False, False]])
    weights = masked_softmax(torch.tensor([[1.0, 1e30, 1.0], [5.0, 5.0, 5.0]]), allowed)
    assert torch.equal(weights, torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"squash": "relu"}, "no squash 'relu'; there are tanh"),
        ({"memory": "voice"}, "no memory 'voice'; there are text, all"),
        ({"sharing": "none"}, "no sharing 'none'"),
        ({"rank": None}, "needs a rank"),
        ({"rank": 0}, "rank 0: expected 1 to 12"),
        ({"rank": 13}, "rank 13: expected 1 to 12"),
    ],
)
def test_an_impossible_form_is_refused(wrong: dict[str, object], says: str) -> None:
    """The message names what was wrong and what there is."""
    with pytest.raises(ValueError, match=says):
        Form(**wrong).build(modalities=3, dim=12, span=FULL)  # type: ignore[arg-type]
