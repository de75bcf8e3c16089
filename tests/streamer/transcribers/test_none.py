"""The text-free mode."""

from __future__ import annotations

from streamer.stage import run_inline
from streamer.transcribers import none

from .talk import context, said, unheard


def test_utterances_pass_without_words() -> None:
    utterances = [said(0, 1), unheard(2, 3), said(4, 5, final=False)]
    stage = none.Config().build(context())
    assert run_inline(stage, utterances) == utterances
    assert stage.name == "none"


def test_a_partial_after_its_final_is_ignored() -> None:
    final = said(0, 1)
    assert run_inline(none.Config().build(context()), [final, said(0, 1, final=False)]) == [final]
