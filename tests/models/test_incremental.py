"""Every host passes the contract, and contributions are honest shares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.dialogue import Dialogue, Turn
from models.hosts.gru import Config, GruLmam, State
from models.incremental import alone, contributions, repeat, take, unroll
from tests.contract import check_incremental, make_dialogue, rows, to

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def net(window: int = 4, speakers: int = 3) -> GruLmam:
    torch.manual_seed(0)
    return GruLmam(Config(dim=32, rank=4, window=window, speakers=speakers)).eval()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("window", [1, 4, 16])
def test_the_host_is_incremental(window: int, device: str) -> None:
    """Whole equals stepped, any split, no look-ahead, no padding, no masked value, no batch."""
    check_incremental(net(window).to(device), to(make_dialogue(), device))


def test_the_host_that_hears_the_voice_network_is_incremental() -> None:
    """The same with the embedding of the voice beside its measures."""
    torch.manual_seed(0)
    model = GruLmam(Config(dim=32, rank=4, window=4, voice=5)).eval()
    check_incremental(model, make_dialogue(audio=model.config.heard))


@torch.no_grad()
def test_a_missing_modality_leaves_its_streams_as_they_are() -> None:
    """Recurrent state of a modality moves when it is present and stays, bit for bit, when it is not."""
    model, dialogue = net(), make_dialogue(batch=1, n=2)
    _, before = model.step(
        replace(dialogue.turn(0), present_BM=torch.tensor([[True] * 3])), model.init_state(1)
    )
    _, after = model.step(replace(dialogue.turn(1), present_BM=torch.tensor([[True, False, True]])), before)
    same = (before.global_BMD == after.global_BMD).all(-1)
    assert same.tolist() == [[False, True, False]]


@torch.no_grad()
def test_only_the_speaking_party_moves() -> None:
    """The state of a speaker changes with their own utterances only."""
    model, dialogue = net(), make_dialogue(batch=1, n=1)
    turn = replace(
        dialogue.turn(0), speaker_B=torch.tensor([1]), present_BM=torch.ones(1, 3, dtype=torch.bool)
    )
    start = model.init_state(1)
    _, after = model.step(turn, start)
    moved = (after.party_BSMD != start.party_BSMD).flatten(2).any(-1)
    assert moved.tolist() == [[False, True, False]]


@torch.no_grad()
def test_who_spoke_matters() -> None:
    """The same words by one speaker or by two give different estimates: the model is speaker-aware."""
    model, dialogue = net(), make_dialogue(batch=1, n=3)
    one = replace(dialogue, speaker_BN=torch.tensor([[0, 0, 0]]))
    two = replace(dialogue, speaker_BN=torch.tensor([[0, 1, 0]]))
    assert not torch.allclose(model(one)[:, 2], model(two)[:, 2])


@torch.no_grad()
def test_more_speakers_than_told_apart_share_the_last_place() -> None:
    """A fourth and a tenth speaker are one to a model of three; nothing breaks."""
    model, dialogue = net(speakers=3), make_dialogue(batch=1, n=4)
    many = replace(dialogue, speaker_BN=torch.tensor([[0, 3, 9, 2]]))
    few = replace(dialogue, speaker_BN=torch.tensor([[0, 2, 2, 2]]))
    torch.testing.assert_close(model(many), model(few))


def test_a_state_survives_storage_and_a_move() -> None:
    """tensors() and State(**tensors) are inverse, and to() moves all of it."""
    state = net().init_state(2)
    again = State(**state.to("cpu").tensors())
    assert all(
        torch.equal(a, b) for a, b in zip(state.tensors().values(), again.tensors().values(), strict=True)
    )


@torch.no_grad()
def test_states_stack_into_a_batch() -> None:
    """Two conversations stepped apart equal the two stepped as one batch."""
    model, dialogue = net(), make_dialogue(batch=2, n=5)
    whole, end = unroll(model, dialogue)
    one, end_one = unroll(model, rows(dialogue, slice(1, 2)))
    torch.testing.assert_close(one, whole[1:])
    torch.testing.assert_close(end_one.memory_BWMD, take(end, slice(1, 2)).memory_BWMD)
    assert repeat(end, 3).there_BWM.shape[0] == 6


@torch.no_grad()
def test_contributions_are_shares_of_what_is_present() -> None:
    """In 0..1, summing to 1 over the present, 0 for the absent, and the step itself is unchanged."""
    model, dialogue = net(), make_dialogue(batch=3, n=2)
    present_BM = torch.tensor([[True, True, True], [False, False, True], [False, False, False]])
    turn = replace(dialogue.turn(1), present_BM=present_BM)
    _, state = model.step(dialogue.turn(0), model.init_state(3))
    logits, after, weights_BM = contributions(model, turn, state)
    want, want_after = model.step(turn, state)
    torch.testing.assert_close(logits, want)
    torch.testing.assert_close(after.memory_BWMD, want_after.memory_BWMD)
    assert ((weights_BM >= 0) & (weights_BM <= 1)).all()
    torch.testing.assert_close(weights_BM.sum(1), torch.tensor([1.0, 1.0, 0.0]))
    assert weights_BM[1].tolist() == [0.0, 0.0, 1.0]


class TextDecides:
    """A steppable model that reads the text alone."""

    def init_state(self, batch: int) -> State:
        return net().init_state(batch)

    def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
        return torch.where(turn.present_BM[:, :1], turn.text_BT[:, :7], 0.0), state

    def forward(self, dialogue: Dialogue) -> Tensor:
        return unroll(self, dialogue)[0]


def test_what_speaks_against_the_label_has_no_share() -> None:
    """Without the words the label would be surer: that is no part in it, however large."""

    class TextDoubts(TextDecides):
        def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
            voice = torch.where(turn.present_BM[:, 1:2], 5.0 * torch.eye(7)[0], 0.0)
            return voice - torch.where(turn.present_BM[:, :1], 2.0 * torch.eye(7)[0], 0.0), state

    turn = replace(make_dialogue(batch=1, n=1).turn(0), present_BM=torch.ones(1, 3, dtype=torch.bool))
    model = TextDoubts()
    _, _, weights_BM = contributions(model, turn, model.init_state(1))
    torch.testing.assert_close(weights_BM, torch.tensor([[0.0, 1.0, 0.0]]))


def test_what_decides_gets_the_weight() -> None:
    """Where only the text moves the estimate it has all the weight; where nothing does, all are equal."""
    turn = replace(make_dialogue(batch=2, n=1).turn(0), present_BM=torch.ones(2, 3, dtype=torch.bool))
    turn.text_BT[1] = 0.0
    model = TextDecides()
    _, _, weights_BM = contributions(model, turn, model.init_state(2))
    torch.testing.assert_close(weights_BM, torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]))


@torch.no_grad()
@pytest.mark.parametrize("m", [0, 1, 2])
def test_a_modality_alone_is_the_step_as_if_nothing_else_were_present(m: int) -> None:
    """Whatever the absent ones hold, in the context that all modalities made; nothing given is changed."""
    model, dialogue = net(), make_dialogue(batch=2, n=2)
    _, state = model.step(dialogue.turn(0), model.init_state(2))
    turn = replace(dialogue.turn(1), present_BM=torch.tensor([[True, True, True], [False, True, True]]))
    before = {n: t.clone() for n, t in state.tensors().items()}
    only = turn.present_BM & (torch.arange(3) == m)
    want, _ = model.step(replace(turn, present_BM=only), state)
    torch.testing.assert_close(alone(model, turn, state)[m], want)
    assert all(torch.equal(before[n], t) for n, t in state.tensors().items())
