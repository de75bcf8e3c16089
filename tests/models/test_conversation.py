"""Every host with every fusion in every placement: one model class, one contract."""

from __future__ import annotations

import pytest
import torch

from models.conversation import PLACEMENTS, Config, ConversationModel
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.span import FULL, Span
from models.state import State
from tests.contract import check_incremental, make_dialogue

SIZES = {"text": 20, "audio": 7, "visual": 5}


def net(host: str, fusion: str, placement: str = "late", span: Span | None = None) -> ConversationModel:
    torch.manual_seed(0)
    config = Config(
        sizes=SIZES,
        classes=5,
        host=host,
        fusion=fusion,
        placement=placement,
        span=span or Span(4, 0),
        dim=16,
        speakers=3,
    )
    return ConversationModel(config).eval()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_pair_is_causal_and_steppable(host: str, fusion: str) -> None:
    """`step` equals `forward`, for any split; nothing looks ahead, reads padding, NaN or the batch."""
    check_incremental(net(host, fusion), make_dialogue(**SIZES))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("placement", [p for p in PLACEMENTS if p != "late"])
def test_every_placement_is_causal_and_steppable(host: str, placement: str) -> None:
    """The other two placements pass the same contract."""
    check_incremental(net(host, "concat", placement), make_dialogue(**SIZES))


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


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_full_context_reads_neither_padding_nor_masked_rows(host: str, fusion: str) -> None:
    """With the whole conversation in sight, a conversation does not depend on the batch it stands in."""
    from tests.contract import check_masked

    check_masked(net(host, fusion, span=FULL), make_dialogue(**SIZES))


def test_state_is_a_value() -> None:
    """A state survives storage, moves, and stacks over conversations."""
    model, dialogue = net("speaker-gru", "concat"), make_dialogue(**SIZES)
    with torch.no_grad():
        one = [model.step(dialogue.turn(0), model.init_state(3))[1] for _ in range(2)]
    both = State.stack(one)
    assert all(len(t) == 6 for t in both.values())
    assert State(**both.tensors()).to("cpu").keys() == one[0].keys()
    with pytest.raises(ValueError, match="same model"):
        State.stack([one[0], State()])


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
