"""Exported, a model says what it says in torch: as a program, compiled, and as a file in onnxruntime."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor, nn

from models.checkpoint import WEIGHTS, CheckpointError
from models.dialogue import MODALITIES, Dialogue, Turn
from models.export import (
    ExportError,
    Step,
    as_onnx,
    difference,
    load,
    save_onnx,
    step_program,
    steppable,
    whole_program,
)
from models.fusion_weights import DEFAULT, load_fusion
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.incremental import unroll
from models.span import FULL
from models.state import State
from models.streaming import Windowed
from models.training import store
from models.training.fit import Fit
from models.training.run import finish, prepare
from scripts import describe_export as page
from tests.contract import make_dialogue, masked_with, rows
from tests.models.training.corpora import LABELS, config, corpus
from tests.models.training.corpora import SIZES as TOY

ROOT = Path(__file__).parents[2]
SIZES = page.SIZES
TEXT = page.TARGET.read_text(encoding="utf-8")
BLOCKS = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What torch.compile says of its own tracing of a gradient written out (models.hosts.recurrence).
OF_TORCH = "ignore:.*autograd.function.Function.*should not be instantiated:DeprecationWarning"
pytestmark = pytest.mark.timeout(120)  # under 20 s on two quiet cores


@pytest.fixture(scope="module")
def step() -> Step:
    """Of a small past-only model."""
    return steppable(page.net("speaker-gru"))


@pytest.fixture(scope="module")
def content(step: Step) -> bytes:
    return as_onnx(step, {"labels": ["a", "b", "c", "d", "e"], "temperature": 1.5})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of ``lmam train``: one past-only, one that looks ahead."""
    folder, paths = tmp_path_factory.mktemp("trained"), {}
    for context in ("past", "full"):
        run = config(**{"model.context": context, "model.host": "bc-lstm", "train.epochs": 1})
        prepared = prepare(run, corpus())
        fit = Fit(run, prepared.tensors, 0)
        list(fit.epochs())
        paths[context] = folder / f"{context}.safetensors"
        store.save(paths[context], fit.model, run, prepared, finish(run, prepared, 0, fit, seconds=0))
    return paths


class Caller:
    """What a user's program does with a file: zeros at first, then every ``next.x`` as ``state.x``."""

    def __init__(self, file: bytes | Path, batch: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        source = file if isinstance(file, bytes) else str(file)
        self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["lmam"])
        forms = self.about["state"].items()
        self.state = {name: np.zeros((batch, *f["shape"]), f["type"]) for name, f in forms}

    def __call__(self, turn: Turn, *, keep: bool = True) -> Tensor:
        given = dict(zip((o.name for o in self.session.get_outputs()), self._run(turn), strict=True))
        logits = torch.from_numpy(given.pop("logits"))
        if keep:
            self.state = {name.replace("next.", "state.", 1): value for name, value in given.items()}
        return logits

    def _run(self, turn: Turn) -> list[np.ndarray]:
        given = named(turn)
        fed = {name: given[name].numpy() for name in self.about["inputs"]}
        found: list[np.ndarray] = self.session.run(None, {**fed, **self.state})
        return found

    def conversation(self, dialogue: Dialogue) -> Tensor:
        """Logits ``[B, N, C]``."""
        return torch.stack([self(dialogue.turn(n)) for n in range(dialogue.valid_BN.shape[1])], 1)


def named(turn: Turn) -> dict[str, Tensor]:
    names = (*MODALITIES, "present", "speaker")
    tensors = (turn.text_BT, turn.audio_BA, turn.visual_BV, turn.present_BM, turn.speaker_B)
    return dict(zip(names, tensors, strict=True))


def conversations(batch: int = 3, n: int = 9, sizes: dict[str, int] | None = None) -> Dialogue:
    """Random ones, with NaN in whatever is absent."""
    return masked_with(make_dialogue(batch, n, **(sizes or SIZES)), torch.nan)


def close(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_file_reads_a_conversation_as_the_model_reads_it_whole(step: Step, content: bytes) -> None:
    """State is carried by the caller alone, modalities come and go, and what is absent is not read."""
    dialogue = conversations()
    close(Caller(content, 3).conversation(dialogue), step.model(dialogue))


@pytest.mark.parametrize("batch", [1, 2, 7])
@torch.no_grad()
def test_the_batch_of_a_file_is_free(step: Step, content: bytes, batch: int) -> None:
    dialogue = conversations(7, 5)
    part = rows(dialogue, slice(0, batch))
    close(Caller(content, batch).conversation(part), step.model(dialogue)[:batch])


@torch.no_grad()
def test_a_provisional_estimate_is_a_step_whose_state_is_thrown_away(step: Step, content: bytes) -> None:
    dialogue, caller = conversations(), Caller(content, 3)
    want = step.model(dialogue)
    for n in range(4):
        close(caller(dialogue.turn(8), keep=False), caller(dialogue.turn(8), keep=False))
        close(caller(dialogue.turn(n)), want[:, n])


def test_the_metadata_says_what_goes_in_and_what_is_kept(step: Step, content: bytes) -> None:
    caller = Caller(content, 1)
    inputs = {i.name: i for i in caller.session.get_inputs()}
    forms = {**caller.about["inputs"], **caller.about["state"]}
    types = {"float32": "tensor(float)", "bool": "tensor(bool)", "int64": "tensor(int64)"}
    assert list(inputs) == step.inputs
    assert set(forms) == set(inputs)
    for name, form in forms.items():
        assert list(inputs[name].shape) == ["batch", *form["shape"]], name
        assert inputs[name].type == types[form["type"]], name
    assert [o.name for o in caller.session.get_outputs()] == step.outputs
    assert {n.removeprefix("state.") for n in caller.about["state"]} == set(step.start)
    assert caller.about["labels"] == ["a", "b", "c", "d", "e"]
    assert caller.about["temperature"] == 1.5


def test_the_file_has_nothing_of_the_machine_and_standard_operators_only(content: bytes) -> None:
    """The exporter's stack traces are left out. Nor does it need operators of anybody's own."""
    assert str(ROOT).encode() not in content
    assert b"export.py" not in content
    assert [o.domain for o in onnx.load_from_string(content).opset_import] == [""]


@torch.no_grad()
def test_a_model_of_two_modalities_asks_for_no_third() -> None:
    sizes = {"text": 6, "visual": 5}
    torch.manual_seed(0)
    model = page.ConversationModel(page.Config(sizes=sizes, classes=3, fusion="concat", dim=8)).eval()
    caller, dialogue = Caller(as_onnx(steppable(model)), 3), conversations(sizes=TOY)
    assert list(caller.about["inputs"]) == ["text", "visual", "present", "speaker"]
    close(caller.conversation(dialogue), model(dialogue))


@pytest.mark.parametrize("host", HOSTS)
def test_every_hosts_step_is_written_and_says_the_same(host: str, tmp_path: Path) -> None:
    step = steppable(page.net(host))
    assert save_onnx(step, tmp_path / "new" / "step.onnx") < 1e-5
    assert difference(step, tmp_path / "new" / "step.onnx", utterances=5, batch=4) < 1e-5
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["step.onnx"]


@pytest.mark.parametrize("host", ["speaker-gru", "mmgcn"])
@torch.no_grad()
def test_a_model_that_looks_ahead_is_written_with_its_window(host: str) -> None:
    """These two have what ONNX lacks, a running maximum and a stable sort."""
    model, dialogue = page.net(host, span=FULL), conversations(2, 6)
    content = as_onnx(steppable(model, 3))
    close(Caller(content, 2).conversation(dialogue), Windowed.of(model, 3)(dialogue))


def test_the_model_that_ships_is_written() -> None:
    """At full size, with its labels, prior and licences."""
    loaded, shipped = load(DEFAULT), load_fusion()
    dialogue = make_dialogue(2, 20, audio=shipped.net.config.heard)
    caller = Caller(as_onnx(loaded.step, loaded.facts), 2)
    assert tuple(caller.about["labels"]) == shipped.labels
    assert caller.about["temperatures"] == shipped.temperatures.table()
    assert tuple(caller.about["config"]["prior"]["measures"]) == shipped.audio_measures
    assert caller.about["data_licences"] == shipped.meta["data_licences"]
    with torch.no_grad():
        close(caller.conversation(dialogue), unroll(shipped.net, dialogue)[0])


@pytest.mark.parametrize(("context", "turns"), [("past", None), ("full", 3)])
def test_a_trained_model_is_written_with_its_facts(
    trained: dict[str, Path], tmp_path: Path, context: str, turns: int | None
) -> None:
    file, ours, loaded = tmp_path / "step.onnx", store.load(trained[context]), load(trained[context], turns)
    save_onnx(loaded.step, file, loaded.facts)
    caller, dialogue = Caller(file, 3), conversations(sizes=TOY)
    assert tuple(caller.about["labels"]) == LABELS
    assert caller.about["temperature"] == ours.temperature
    assert caller.about["scales"] == ours.meta["scales"]
    assert caller.about["data_digest"] == ours.meta["data_digest"]
    model: nn.Module = Windowed.of(ours.model, turns) if turns else ours.model
    with torch.no_grad():
        close(caller.conversation(dialogue), model(dialogue))


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # by torch
@torch.no_grad()
def test_the_page_runs(trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both Python blocks of docs/export.md, as a reader would, with a model of ``lmam train``."""
    ours, dialogue = store.load(trained["past"]), conversations(1, sizes=TOY)
    monkeypatch.chdir(tmp_path)
    calls, makes = BLOCKS.findall(TEXT)
    made: dict[str, Any] = {"model": ours.model, "labels": list(ours.labels)}
    exec(compile(makes, str(page.TARGET), "exec"), made)
    called: dict[str, Any] = {}
    exec(compile(calls, str(page.TARGET), "exec"), called)
    assert called["about"]["labels"] == list(LABELS)
    for n in range(dialogue.valid_BN.shape[1]):
        turn = {name: value.numpy() for name, value in named(dialogue.turn(n)).items()}
        close(torch.from_numpy(called["step"](turn)), ours.model(dialogue)[:, n])
    program = torch.export.load("step.pt2").module()
    example = made["step"].example(3)
    assert page.same(program(*example), made["step"](*example))
    padded = conversations(2, 33, sizes=TOY)
    assert page.same(made["whole"].module()(*page.tensors(padded)), ours.model(padded))


class Unsteady(nn.Module):
    """Says one thing in torch and, ``apart`` from it, another when exported."""

    def __init__(self, apart: float, *, first: float = 0.0) -> None:
        super().__init__()
        self.apart, self.first = apart, first

    def init_state(self, batch: int) -> State:
        return State(sum=torch.full((batch, 4), self.first))

    def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
        here = turn.present_BM[:, 1:2]
        total = state["sum"] + torch.where(here, turn.audio_BA, 0.0)
        apart = self.apart if torch.compiler.is_compiling() else 0.0
        return total + apart, State(sum=total)


def test_a_strangers_step_is_written(tmp_path: Path) -> None:
    """Anything that can be stepped will do."""
    assert save_onnx(Step(Unsteady(0.0), {"audio": 4}), tmp_path / "step.onnx") < 1e-5


@pytest.mark.parametrize(("apart", "said"), [(0.01, "0.01 from"), (torch.nan, "nan from")])
def test_a_file_that_says_something_else_is_not_written(tmp_path: Path, apart: float, said: str) -> None:
    file = tmp_path / "step.onnx"
    with pytest.raises(ExportError, match=rf"step.onnx: not written: it would be {said} torch's"):
        save_onnx(Step(Unsteady(apart), {"audio": 4}), file)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_what_is_absent_is_found_out() -> None:
    class Reads(Unsteady):
        def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
            return turn.audio_BA * turn.present_BM[:, 1:2], state

    step = Step(Reads(0.0), {"audio": 4})
    assert np.isnan(difference(step, as_onnx(step)))


def test_a_file_that_remembers_something_else_is_found_out() -> None:
    class Forgets(Unsteady):
        def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
            logits, after = super().step(turn, state)
            return 0 * logits, after if torch.compiler.is_compiling() else after.map(lambda t: t + 1)

    step = Step(Forgets(0.0), {"audio": 4})
    assert difference(step, as_onnx(step), utterances=2) == pytest.approx(2.0)


def test_a_state_that_does_not_begin_with_zeros_is_refused() -> None:
    with pytest.raises(ExportError, match="state 'sum' does not begin with zeros"):
        Step(Unsteady(0.0, first=1.0), {"audio": 4})


def test_a_model_that_looks_ahead_needs_a_window() -> None:
    model = page.net("text-cnn", span=FULL)
    with pytest.raises(ExportError, match="give --turns N to run it over the last N utterances"):
        steppable(model)
    with pytest.raises(ExportError, match=r"turns 0: the window holds the newest utterance, so at least 1$"):
        steppable(model, 0)


def test_without_the_extra_the_pip_command_is_said(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    with pytest.raises(ExportError, match=r"needs onnxscript.*pip install 'lmam-streamer\[export\]'"):
        as_onnx(step)


def test_a_checkpoint_that_cannot_be_stepped_is_named(trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such weight file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"notes\.txt: not a "):
        load(tmp_path / "notes.txt")
    with pytest.raises(
        CheckpointError, match=r"text\.safetensors: .*'text-encoder'; expected a model of kind"
    ):
        load(WEIGHTS / "text.safetensors")
    with pytest.raises(ExportError, match="give --turns N"):
        load(trained["full"])
    with pytest.raises(ExportError, match="turns 0: "):
        load(trained["past"], 0)
    with pytest.raises(ExportError, match=r"fusion\.safetensors: steps by itself"):
        load(DEFAULT, 4)


def test_a_path_that_cannot_be_written_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    step = Step(Unsteady(0.0), {"audio": 4})
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ExportError, match=r"taken.step\.onnx: cannot be written"):
        save_onnx(step, tmp_path / "taken" / "step.onnx")
    with pytest.raises(ExportError, match=r"is a folder; name a file in it"):
        save_onnx(step, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("taken", "a file")]


def cells(name: str) -> dict[str, str]:
    """A row of the page."""
    return dict(zip(page.COLUMNS, page.read(TEXT)[name], strict=True))


def test_the_page_has_a_row_for_everything() -> None:
    assert list(page.read(TEXT)) == [*HOSTS, *FUSIONS]


@pytest.mark.parametrize("host", HOSTS)
def test_programs_of_every_host_run_as_the_page_says(host: str) -> None:
    """Another batch than traced, and another length where the page says so, with torch.export."""
    said = cells(host)
    assert said["export forward"] in ("any length", "fixed length")
    assert page.exported_forward(page.net(host, span=FULL)) == said["export forward"]
    assert page.exported_step(steppable(page.net(host))) == said["export step"] == "yes"


@pytest.mark.filterwarnings(OF_TORCH)
@pytest.mark.parametrize("host", HOSTS)
def test_every_host_compiles_as_the_page_says(host: str) -> None:
    """Forward with its gradient, and step; without the last stage of torch.compile, which takes minutes."""
    said, model = cells(host), page.net(host)
    assert said["compile forward"].startswith("whole")
    assert page.compiled_forward(model, "aot_eager") == said["compile forward"]
    assert page.compiled_step(model, "aot_eager") == said["compile step"]


def graphs(run: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[int]:
    """How many graphs there are after each call."""
    count, after = 0, []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(run, backend=backend)
    for arguments in calls:
        compiled(*arguments)
        after.append(count)
    return after


@pytest.mark.parametrize("host", HOSTS)
@torch.no_grad()
def test_a_compiled_step_compiles_for_the_second_batch_and_then_for_no_other(host: str) -> None:
    """The page says so."""
    model, calls = page.net(host), []
    for batch in (2, 3, 4):
        dialogue, state = page.dialogue(batch, 2), model.init_state(batch)
        calls += [(dialogue.turn(0), state), (dialogue.turn(1), model.step(dialogue.turn(0), state)[1])]
    found = graphs(model.step, calls)
    assert found[1] < found[3] == found[5]


@pytest.mark.filterwarnings(OF_TORCH)
@pytest.mark.parametrize(
    ("host", "unrolled"), [(host, host in ("speaker-gru", "dialogue-rnn", "dialogue-gcn")) for host in HOSTS]
)
@torch.no_grad()
def test_a_compiled_walk_compiles_for_every_length(host: str, unrolled: bool) -> None:
    """Where a host does not, for the second length only; the page says which does."""
    model = page.net(host)
    found = graphs(model.forward, [(page.dialogue(2, n),) for n in (2, 3, 4)])
    assert found[0] < found[1]
    assert found[1:] == ([2, 3] if unrolled else [found[1]] * 2)


@pytest.mark.parametrize("utterances", [4, 5])
@torch.no_grad()
def test_a_program_has_the_number_of_utterances_that_it_was_asked_for(utterances: int) -> None:
    """Also where it is the batch that is traced; shorter conversations are padded."""
    model, dialogue = page.net("speaker-gru", span=FULL), conversations(3, utterances)
    dialogue.valid_BN[1, 2:] = False
    module = whole_program(model, utterances).module()
    assert page.same(module(*page.tensors(dialogue)), model(dialogue))
    short = Dialogue(*(t[1:2, :2] for t in page.tensors(dialogue)))
    close(module(*page.tensors(dialogue))[1:2, :2], model(short))


def test_a_loaded_model_steps_as_its_program_does(trained: dict[str, Path]) -> None:
    """`load`, for who wants the program and not the file."""
    step = load(trained["past"]).step
    assert page.same(step_program(step).module()(*step.example(2)), step(*step.example(2)))
