"""What leaves torch says what torch says: programs and ONNX files of the streaming step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor

from models import export
from models.checkpoint import WEIGHTS, CheckpointError
from models.conversation import Config, ConversationModel
from models.dialogue import Dialogue
from models.export import ExportError, Step, save_onnx, step_program, steppable, whole_program
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.span import FULL, Span
from tests.contract import make_dialogue

SIZES = {"text": 20, "audio": 7, "visual": 5}
PAGE = Path(__file__).parents[2] / "docs" / "export.md"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's exporters about themselves
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def net(host: str = "text-cnn", fusion: str = "lmam", span: Span | None = None) -> ConversationModel:
    torch.manual_seed(0)
    config = Config(
        sizes=SIZES, classes=5, host=host, fusion=fusion, span=span or Span(4, 0), dim=16, speakers=3
    )
    return ConversationModel(config).eval().requires_grad_(False)


def tensors(d: Dialogue) -> tuple[Tensor, ...]:
    return d.text_BNT, d.audio_BNA, d.visual_BNV, d.present_BNM, d.speaker_BN, d.valid_BN


@pytest.mark.parametrize("host", HOSTS)
def test_the_step_of_every_host_is_a_program_for_any_batch(host: str) -> None:
    step = steppable(net(host))
    run = step_program(step).module()
    for batch in (1, 7):
        given = step.example(batch, seed=batch)
        for got, want in zip(run(*given), step(*given), strict=True):
            torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("host", HOSTS)
def test_the_forward_of_every_host_is_a_program(host: str) -> None:
    """Of conversations as long as it was made for; for any length where the page says so."""
    model = net(host, span=FULL)
    run = whole_program(model, utterances=6).module()
    for batch, n in ((2, 6), (3, 9)):
        d = make_dialogue(batch=batch, n=n, **SIZES)
        if n != 6 and _cell(host, "export forward") != "any length":
            with pytest.raises((AssertionError, RuntimeError)):
                run(*tensors(d))
            continue
        valid = d.valid_BN
        torch.testing.assert_close(run(*tensors(d))[valid], model(d)[valid], atol=1e-5, rtol=0)


def _cell(name: str, column: str) -> str:
    """What docs/export.md says of a host or fusion."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip("|").split(" | ")]
        if line.startswith("| host |"):
            head = cells
        if cells[0] == f"`{name}`":
            return cells[head.index(column)]
    raise AssertionError(f"{PAGE.name} has no row for {name}")


def test_the_page_has_a_row_for_every_host_and_fusion() -> None:
    for name in (*HOSTS, *FUSIONS):
        assert _cell(name, "ONNX step")


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_compiles_to_one_graph(host: str) -> None:
    """Forward and step, with nn.LSTM allowed in the graph; the graph says what the module says."""
    model = net(host)
    d = make_dialogue(batch=2, n=4, **SIZES)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        whole = torch.compile(model.forward, backend="eager", fullgraph=True)(d)
        state = model.init_state(2)
        stepped, _ = torch.compile(model.step, backend="eager", fullgraph=True)(d.turn(0), state)
    torch._dynamo.reset()
    torch.testing.assert_close(whole[d.valid_BN], model(d)[d.valid_BN], atol=1e-5, rtol=0)
    torch.testing.assert_close(stepped, model.step(d.turn(0), state)[0], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Step, Path]:
    """The step of the host that ships with its fusion, as an ONNX file."""
    step = steppable(net("speaker-gru", "lmam-all-memories"))
    path = tmp_path_factory.mktemp("onnx") / "deep" / "step.onnx"
    assert save_onnx(step, path, {"labels": ["a", "b", "c", "d", "e"], "temperature": 1.5}) < 1e-5
    return step, path


def test_a_file_follows_conversations_as_torch_does(written: tuple[Step, Path]) -> None:
    """By the snippet of the documentation, which is all that a caller has to go by."""
    step, path = written
    (snippet,) = re.findall(r"```python\n(import json.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    space: dict[str, Any] = {}
    exec(snippet.replace('"step.onnx"', repr(str(path))), space)
    ours = [t[:1] for t in step.example(1)]
    read = len(ours) - len(step.start)
    for n in range(12):
        turn = step.example(1, seed=n)[:read]
        logits, *after = step(*turn, *ours[read:])
        theirs = space["step"]({k: t.numpy() for k, t in zip(step.inputs, turn, strict=False)})
        np.testing.assert_allclose(theirs, logits.numpy(), atol=1e-5)
        ours = [*turn, *after]


def test_one_file_serves_any_number_of_conversations_each_by_itself(written: tuple[Step, Path]) -> None:
    step, path = written
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = [t.numpy() for t in step.example(4, seed=3)]
    names = [o.name for o in session.get_outputs()]
    assert names == step.outputs
    together = session.run(names, dict(zip(step.inputs, given, strict=True)))[0]
    for b in range(4):
        alone = session.run(names, {k: x[b : b + 1] for k, x in zip(step.inputs, given, strict=True)})[0]
        np.testing.assert_allclose(alone[0], together[b], atol=1e-5)


def test_what_stands_in_an_absent_feature_is_not_read(written: tuple[Step, Path]) -> None:
    step, path = written
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = {k: t.numpy() for k, t in zip(step.inputs, step.example(1), strict=True)}
    fed["present"] = np.array([[True, False, True]])
    (want,) = session.run(["logits"], fed)
    (got,) = session.run(["logits"], {**fed, "audio": np.full_like(fed["audio"], np.nan)})
    np.testing.assert_array_equal(got, want)


def test_a_file_says_what_its_caller_must_know(written: tuple[Step, Path]) -> None:
    step, path = written
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["lmam"])
    assert about["labels"] == ["a", "b", "c", "d", "e"]
    assert about["temperature"] == 1.5
    assert about["inputs"]["text"] == {"shape": [20], "type": "float32"}
    assert about["inputs"]["present"] == {"shape": [3], "type": "bool"}
    assert {*about["inputs"], *about["state"]} == set(step.inputs)


def test_a_file_that_says_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: tuple[Step, Path]
) -> None:
    """Another model's file stands in for an exporter that is wrong."""
    _, path = written
    monkeypatch.setattr(export, "as_onnx", lambda step, facts: path.read_bytes())
    torch.manual_seed(1)
    other = steppable(net("speaker-gru", "lmam-all-memories"))
    for p in other.parameters():
        p.add_(0.1)
    with pytest.raises(ExportError, match="not written: its logits would be"):
        save_onnx(other, tmp_path / "step.onnx")
    assert not (tmp_path / "step.onnx").exists()


def test_a_file_that_says_what_is_no_number_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: tuple[Step, Path]
) -> None:
    _, path = written
    monkeypatch.setattr(export, "as_onnx", lambda step, facts: path.read_bytes())
    broken = steppable(net("speaker-gru", "lmam-all-memories"))
    for p in broken.parameters():
        p.fill_(torch.nan)
    with pytest.raises(ExportError, match="would be nan from torch"):
        save_onnx(broken, tmp_path / "step.onnx")


def test_a_model_that_looks_ahead_goes_through_a_window(tmp_path: Path) -> None:
    model = net("transformer", "concat", span=FULL)
    with pytest.raises(ExportError, match="--turns N"):
        steppable(model)
    assert save_onnx(steppable(model, 3), tmp_path / "step.onnx") < 1e-5


def test_what_is_no_conversation_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        export.load(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="holds weights of kind 'face'"):
        export.load(WEIGHTS / "face.safetensors")
    with pytest.raises(ExportError, match="steps by itself"):
        export.load(WEIGHTS / "fusion.safetensors", turns=4)
