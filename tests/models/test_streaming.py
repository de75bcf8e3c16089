"""A model of whole conversations, streamed through a window: exact, and under the contract of causal ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models import streaming
from models.conversation import Config, ConversationModel
from models.dialogue import Dialogue
from models.hosts import HOSTS
from models.incremental import unroll
from models.span import FULL
from models.state import State
from models.streaming import Windowed
from tests.contract import check_incremental, make_dialogue, rows, tensors

SIZES = {"text": 20, "audio": 7, "visual": 5}


def full(host: str, fusion: str = "concat", sizes: dict[str, int] | None = None) -> ConversationModel:
    torch.manual_seed(0)
    config = Config(sizes=sizes or SIZES, classes=5, host=host, fusion=fusion, span=FULL, dim=16, speakers=3)
    return ConversationModel(config).eval()


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_streams_with_the_whole_conversation_in_sight(host: str) -> None:
    """Each host in its bidirectional form passes the contract of the causal ones."""
    check_incremental(Windowed.of(full(host), 4), make_dialogue(**SIZES))


@pytest.mark.parametrize("fusion", ["cross-modal", "cross-modal-attention", "self-attention"])
def test_fusions_over_the_whole_conversation_stream(fusion: str) -> None:
    check_incremental(Windowed.of(full("speaker-gru", fusion), 3), make_dialogue(**SIZES))


@pytest.mark.parametrize("turns", [1, 2, 5, 20])
def test_each_estimate_is_that_of_a_conversation_that_ends_there(turns: int) -> None:
    """The oracle: cut the last W utterances out, run the model, take the last row."""
    model, dialogue = full(next(iter(HOSTS)), "cross-modal"), make_dialogue(**SIZES)
    windowed = Windowed.of(model, turns)
    with torch.no_grad():
        got = windowed(dialogue)
        for t in range(got.shape[1]):
            d, part = dialogue, slice(max(0, t + 1 - turns), t + 1)
            cut = Dialogue(
                d.text_BNT[:, part],
                d.audio_BNA[:, part],
                d.visual_BNV[:, part],
                d.present_BNM[:, part],
                d.speaker_BN[:, part],
                d.valid_BN[:, part],
            )
            torch.testing.assert_close(got[:, t], model(cut)[:, -1], atol=1e-5, rtol=0)
        torch.testing.assert_close(unroll(windowed, dialogue)[0], got, atol=1e-5, rtol=0)


@torch.no_grad()
def test_it_is_not_the_models_own_view() -> None:
    """The model itself sees the future, so that earlier rows differ; the last row of a short one does not."""
    model, dialogue = full("speaker-gru", "cross-modal"), make_dialogue(**SIZES)
    whole, streamed = model(dialogue), Windowed.of(model, 50)(dialogue)
    torch.testing.assert_close(streamed[:, -1], whole[:, -1], atol=1e-5, rtol=0)
    assert (streamed[:, 0] - whole[:, 0]).abs().max() > 1e-3


@torch.no_grad()
def test_conversations_at_different_places_step_as_one_batch() -> None:
    """One that has just begun beside one whose window is full."""
    windowed, dialogue = Windowed.of(full("speaker-gru"), 3), make_dialogue(batch=2, **SIZES)
    old, new = rows(dialogue, slice(0, 1)), rows(dialogue, slice(1, 2))
    want_old, _ = unroll(windowed, old)
    _, state = unroll(windowed, Dialogue(*(t[:, :6] for t in tensors(old))))
    both = State.stack([state, windowed.init_state(1)])
    shifted = [torch.cat([a[:, 6:], b[:, :3]]) for a, b in zip(tensors(old), tensors(new), strict=True)]
    got, _ = unroll(windowed, Dialogue(*shifted), both)
    torch.testing.assert_close(got[:1], want_old[:, 6:], atol=1e-5, rtol=0)
    torch.testing.assert_close(got[1:], windowed(new)[:, :3], atol=1e-5, rtol=0)


@torch.no_grad()
def test_forward_in_pieces_is_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few windows are run at once."""
    windowed, dialogue = Windowed.of(full("speaker-gru"), 4), make_dialogue(**SIZES)
    want = windowed(dialogue)
    monkeypatch.setattr(streaming, "ROWS", 10)
    torch.testing.assert_close(windowed(dialogue), want, atol=1e-6, rtol=0)


@torch.no_grad()
def test_features_of_another_width_are_not_cut_to_fit() -> None:
    """They would be other features: the model says so, and is not spared it."""
    windowed = Windowed.of(full("speaker-gru"), 4)
    wide = make_dialogue(**{**SIZES, "audio": 9})
    with pytest.raises(RuntimeError, match="shape"):
        windowed(wide)
    with pytest.raises(RuntimeError, match=r"[Ss]ize"):
        windowed.step(wide.turn(0), windowed.init_state(3))


@torch.no_grad()
def test_what_the_model_does_not_read_is_not_kept() -> None:
    """A model of text and voice keeps no faces, and a turn may bring them all the same."""
    windowed = Windowed.of(full("speaker-gru", sizes={"text": 20, "audio": 7}), 4)
    assert windowed.init_state(2)["visual"].shape == (2, 4, 0)
    check_incremental(windowed, make_dialogue(**SIZES))


class FromHereOn(nn.Module):
    """A module written without knowledge of ours: the sum of the voice from each utterance to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(7))

    def forward(self, dialogue: Dialogue) -> Tensor:
        here = dialogue.present_BNM[..., 1] & dialogue.valid_BN
        x = torch.where(here.unsqueeze(-1), dialogue.audio_BNA, 0.0) * self.weight
        return x.flip(1).cumsum(1).flip(1) - x.sum(1, keepdim=True) / 2


def test_a_strangers_model_streams() -> None:
    """Any module of whole conversations will do."""
    check_incremental(Windowed(FromHereOn(), turns=4, sizes={"audio": 7}), make_dialogue(**SIZES))


@pytest.mark.parametrize(
    ("turns", "sizes", "says"), [(0, SIZES, "turns 0"), (4, {"smell": 3}, "sizes of smell: there are text")]
)
def test_a_wrong_window_is_refused(turns: int, sizes: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Windowed(full("speaker-gru"), turns=turns, sizes=sizes)
