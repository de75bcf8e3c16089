"""Every host with every fusion in every placement: one model class, one contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.conversation import PLACEMENTS, Config, ConversationModel
from models.dialogue import MODALITIES, Dialogue
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.incremental import split, unroll
from models.span import FULL, Span
from models.state import State
from tests.contract import check_incremental, check_masked, make_dialogue, rows, tensors

SIZES = {"text": 20, "audio": 7, "visual": 5}


def net(
    host: str,
    fusion: str,
    placement: str = "late",
    span: Span | None = None,
    sizes: dict[str, int] | None = None,
) -> ConversationModel:
    torch.manual_seed(0)
    config = Config(
        sizes=sizes or SIZES,
        classes=5,
        host=host,
        fusion=fusion,
        placement=placement,
        span=span or Span(4, 0),
        dim=16,
        speakers=3,
    )
    return ConversationModel(config).eval()


@torch.no_grad()
def stirred(model: ConversationModel) -> ConversationModel:
    """``model`` with every parameter moved: those that begin with zeros would hide what they do."""
    g = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.add_(0.1 * torch.randn(p.shape, generator=g))
    return model


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_pair_is_causal_and_steppable(host: str, fusion: str) -> None:
    """`step` equals `forward`, for any split; nothing looks ahead, reads padding, NaN or the batch."""
    check_incremental(stirred(net(host, fusion)), make_dialogue(**SIZES))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("placement", [p for p in PLACEMENTS if p != "late"])
def test_every_placement_is_causal_and_steppable(host: str, placement: str) -> None:
    """The other two placements pass the same contract."""
    check_incremental(stirred(net(host, "concat", placement)), make_dialogue(**SIZES))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_pairs_differ_in_the_fusion_alone(host: str, placement: str) -> None:
    """Outside the fusion the parameters have the same names, shapes and first values."""

    def outside(fusion: str) -> dict[str, torch.Tensor]:
        state = net(host, fusion, placement).state_dict()
        return {k: v for k, v in state.items() if not k.startswith("fusion.")}

    want = outside("add")
    for fusion in FUSIONS:
        got = outside(fusion)
        assert got.keys() == want.keys()
        assert all(torch.equal(got[k], want[k]) for k in want), fusion


@torch.no_grad()
@pytest.mark.parametrize("host", HOSTS)
def test_the_fusion_stands_alone_between_host_and_head(host: str) -> None:
    """Whatever the fusion, the same rows go into the host and out of it, what it gives goes to the head
    unchanged, and as much is dropped on the way."""
    dialogue, seen = make_dialogue(**SIZES), {}
    for fusion in FUSIONS:
        model, at = net(host, fusion), {}

        def keep(name: str, part: torch.nn.Module, at: dict[str, torch.Tensor]) -> None:
            part.register_forward_hook(lambda _, given, out: at.update({name: given[0], f"{name} out": out}))

        for name in ("host", "fusion", "head"):
            keep(name, getattr(model, name), at)
        model(dialogue)
        assert torch.equal(at["fusion"], at["host out"])
        assert torch.equal(at["head"], at["fusion out"])
        dropped = {n: m.p for n, m in model.named_modules() if hasattr(m, "p") and not n.startswith("fusion")}
        assert dropped
        want = seen.setdefault("first", (at, dropped))
        assert torch.equal(at["host"], want[0]["host"]), fusion
        assert torch.equal(at["host out"], want[0]["host out"]), fusion
        assert dropped == want[1], fusion


@pytest.mark.parametrize("host", HOSTS)
def test_half_precision_is_kept(host: str) -> None:
    model = net(host, "lmam").to(torch.bfloat16)
    d = make_dialogue(**SIZES)
    half = Dialogue(*(t.to(torch.bfloat16) if t.is_floating_point() else t for t in tensors(d)))
    out = model(half)
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()


def test_sizes_that_no_model_has_are_named() -> None:
    for wrong in ({"dim": 0}, {"classes": 0}, {"speakers": 0}, {"sizes": {"text": -3, "audio": 2}}):
        with pytest.raises(ValueError, match="expected a whole number from 1 on"):
            ConversationModel(Config(**{"sizes": SIZES, "classes": 3, **wrong}))


def test_a_state_of_another_window_or_host_is_refused() -> None:
    model, turn = net("speaker-gru", "lmam"), make_dialogue(**SIZES).turn(0)
    others = (net("speaker-gru", "lmam", span=Span(6, 0)), net("bc-lstm", "lmam"))
    for state in (*(o.init_state(3) for o in others), State()):
        with pytest.raises(ValueError, match="the state of another model or window"):
            model.step(turn, state)
    with pytest.raises(ValueError, match="same model"):
        State.stack([model.init_state(1), others[0].init_state(1)])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_full_context_reads_neither_padding_nor_masked_rows(host: str, fusion: str) -> None:
    """With the whole conversation in sight, a conversation does not depend on the batch it stands in."""
    check_masked(net(host, fusion, span=FULL), make_dialogue(**SIZES))


@torch.no_grad()
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("fusion", ["add", "lmam", "lmam-all-memories", "cross-modal"])
def test_state_is_a_value(host: str, fusion: str, tmp_path: Path) -> None:
    """States of conversations that are at different places stack, survive a file, and go on as if alone."""
    model, dialogue = net(host, fusion), make_dialogue(batch=2, **SIZES)
    whole = model(dialogue)
    _, state = unroll(model, rows(split(dialogue, 6)[0], slice(0, 1)))
    both = State.stack([state, model.init_state(1)])
    assert all(len(t) == 2 for t in both.values())
    save_file({n: t.contiguous() for n, t in both.tensors().items()}, tmp_path / "state.safetensors")
    again = State(**load_file(tmp_path / "state.safetensors"))
    old, new = rows(split(dialogue, 6)[1], slice(0, 1)), rows(split(dialogue, 3)[0], slice(1, 2))
    together = Dialogue(*(torch.cat([a, b]) for a, b in zip(tensors(old), tensors(new), strict=True)))
    got, _ = unroll(model, together, again)
    torch.testing.assert_close(got[0], whole[0, 6:], atol=1e-5, rtol=0)
    torch.testing.assert_close(got[1], whole[1, :3], atol=1e-5, rtol=0)


def test_a_state_moves_and_stacks_with_its_own_kind_alone() -> None:
    """All of it, whatever the type of its tensors."""
    model = net("transformer", "cross-modal")
    state = model.init_state(1).to("meta")
    assert {t.device.type for t in state.values()} == {"meta"}
    assert {n: t.dtype for n, t in state.items()} == {n: t.dtype for n, t in model.init_state(1).items()}
    with pytest.raises(ValueError, match="same model"):
        State.stack([state, State()])
    with pytest.raises(ValueError, match="one or more"):
        State.stack([])


def test_parts_of_a_state_are_told_apart_by_their_whole_name() -> None:
    """One name may begin with another."""
    one, other = torch.zeros(1), torch.ones(1)
    joined = State.join(host=State(h=one), hosts=State(h=other))
    assert list(joined) == ["host.h", "hosts.h"]
    assert joined.part("host")["h"] is one
    assert list(joined.part("hosts")) == ["h"]
    assert not joined.part("fusion")


def by_hand(model: ConversationModel, d: Dialogue) -> Tensor:
    """The inputs ``[B, N, M, D]``, one row after the other: map, GELU, plus speaker; zero where absent."""
    b, n = d.valid_BN.shape
    x_BNMD = torch.zeros(b, n, len(model.config.modalities), model.config.dim)
    for i, name in enumerate(model.config.modalities):
        features = {"text": d.text_BNT, "audio": d.audio_BNA, "visual": d.visual_BNV}[name]
        map_ = model.maps[i]
        for at in d.present_BNM[..., MODALITIES.index(name)].nonzero().tolist():
            row = features[at[0], at[1]]
            if len(row) > 16:
                row = (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt()
                row = row * map_[0].weight + map_[0].bias  # type: ignore[index, operator]
            linear = map_[1] if len(row) > 16 else map_  # type: ignore[index]
            mapped = linear.weight @ row + linear.bias  # type: ignore[operator]
            who = min(int(d.speaker_BN[at[0], at[1]]), model.config.speakers - 1)
            x_BNMD[at[0], at[1], i] = F.gelu(mapped) + model.speaker.weight[who]
    return x_BNMD


@torch.no_grad()
@pytest.mark.parametrize("host", ["bc-lstm", "transformer"])
@pytest.mark.parametrize("sizes", [SIZES, {"text": 20, "visual": 5}, {"audio": 7}], ids=" ".join)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_placement_is_what_its_line_says(placement: str, sizes: dict[str, int], host: str) -> None:
    """Inputs, fusion, host and head put together by hand: of each placement and choice of modalities."""
    model, d = net(host, "cross-modal-attention", placement, FULL, sizes), make_dialogue(**SIZES)
    torch.nn.init.normal_(model.speaker.weight)
    present_BNM = d.present_BNM[..., [MODALITIES.index(m) for m in model.config.modalities]]
    x_BNMD = by_hand(model, d)
    if placement == "late":
        z_BND = model.fusion(model.host(x_BNMD, present_BNM, d.speaker_BN, d.valid_BN), present_BNM)
    else:
        fused_BND = model.fusion(x_BNMD, present_BNM)
        if placement == "early-residual":
            fused_BND = fused_BND + x_BNMD.sum(2)
        any_BN1 = present_BNM.any(2, keepdim=True)
        z_BND = model.host(fused_BND.unsqueeze(2), any_BN1, d.speaker_BN, d.valid_BN).squeeze(2)
    torch.testing.assert_close(model(d), model.head(z_BND), atol=1e-5, rtol=0)


@torch.no_grad()
def test_inputs_drop_out_in_training_alone() -> None:
    """With all of them dropped the model knows nothing of the words."""
    model, d = net("text-cnn", "add"), make_dialogue(**SIZES)
    model.drop = torch.nn.Threshold(1e9, 0.0)  # type: ignore[assignment]
    d = replace(d, present_BNM=torch.ones_like(d.present_BNM))
    assert (model(d) - model(d)[:1, :1]).abs().max() == 0
    model = net("text-cnn", "add").train()
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"host": "nope"}, "no host 'nope'"),
        ({"fusion": "nope"}, "no fusion 'nope'"),
        ({"placement": "nope"}, "no placement 'nope'"),
        ({"sizes": {"smell": 3}}, "smell"),
        ({"fusion_options": {"nope": 1}}, "nope"),
        ({"host_options": {"nope": 1}}, "nope"),
    ],
)
def test_a_wrong_part_is_named(change: dict[str, object], says: str) -> None:
    """The message names what does not exist and lists what does."""
    config: dict[str, object] = {"sizes": SIZES, "classes": 3, "fusion": "add", **change}
    with pytest.raises(ValueError, match=says):
        ConversationModel(Config(**config))  # type: ignore[arg-type]
