"""Trained conversation models for other runtimes: `torch.export` programs and ONNX files.

What is exported is a function of plain tensors. The streaming step is

    text, audio, visual, present, speaker, state.*  ->  logits, next.*

with one pair ``state.x`` / ``next.x`` for each tensor of the model's state: a caller keeps nothing but those
tensors, feeds each ``next.x`` back as ``state.x``, and begins a conversation with zeros. The batch is free:
one file serves one conversation or thousands. An ONNX file carries, under the metadata key ``lmam``, a JSON
object with what a caller must know: ``inputs`` and ``state`` (name, shape behind the batch, type),
``labels``, ``temperature``, how inputs are scaled, and the other facts of the checkpoint. `docs/export.md`
says which parts can be exported.

    lmam export CHECKPOINT --out step.onnx

Shape suffixes: B conversations, M modalities (3), T/A/V text, audio and visual features.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.checkpoint import CheckpointError, read_meta
from models.conversation import ConversationModel
from models.decompositions import TABLE
from models.dialogue import MODALITIES, Dialogue, Turn
from models.extras import install
from models.fusion_weights import KIND, load_fusion
from models.incremental import Steppable
from models.streaming import Windowed
from models.training import store
from models.whole import whole

ATOL = 1e-4  # of logits: what a file may differ from torch by, and still be written
EXAMPLE = 5  # conversations while tracing: a batch of one would be taken for a constant


class ExportError(Exception):
    """A model that cannot be exported, or a package that exporting needs; the message says what to do."""


class Step(nn.Module):
    """`Steppable.step` as a function of plain tensors, in the order of ``inputs``.

    Args:
        model: any steppable module, in eval mode; sizes: width of each modality it reads, no others.

    Raises:
        ExportError: a state that does not begin with zeros.
    """

    def __init__(self, model: nn.Module, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.model = model
        self.sizes = {name: sizes[name] for name in MODALITIES if sizes.get(name)}
        start = self._steppable.init_state(EXAMPLE)
        self.kind, self.start = type(start), start.tensors()
        for name, tensor in self.start.items():
            if tensor.count_nonzero():
                raise ExportError(f"state {name!r} does not begin with zeros, as callers must assume")

    @property
    def _steppable(self) -> Steppable[Any]:
        return cast("Steppable[Any]", self.model)

    @property
    def inputs(self) -> list[str]:
        """Names of what goes in."""
        return [*self.sizes, "present", "speaker", *(f"state.{name}" for name in self.start)]

    @property
    def outputs(self) -> list[str]:
        """Names of what comes out."""
        return ["logits", *(f"next.{name}" for name in self.start)]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Logits ``[B, C]`` and the tensors of the next state."""
        given = dict(zip(self.inputs, tensors, strict=True))
        present_BM, speaker_B = given["present"], given["speaker"]
        nothing = present_BM.new_zeros((present_BM.shape[0], 0), dtype=torch.float32)
        text, audio, visual = (given.get(name, nothing) for name in MODALITIES)
        state = self.kind(**{name: given[f"state.{name}"] for name in self.start})
        logits_BC, after = self._steppable.step(Turn(text, audio, visual, present_BM, speaker_B), state)
        tensors = after.tensors()  # whose order may be another
        return logits_BC, *(tensors[name] for name in self.start)

    def example(self, batch: int = EXAMPLE, seed: int = 0) -> tuple[Tensor, ...]:
        """Random inputs at the start of ``batch`` conversations; NaN where a modality is absent."""
        g = torch.Generator().manual_seed(seed)
        features = [torch.randn(batch, width, generator=g) for width in self.sizes.values()]
        present_BM = torch.rand(batch, len(MODALITIES), generator=g) < 0.7
        for name, x in zip(self.sizes, features, strict=True):
            x[~present_BM[:, MODALITIES.index(name)]] = torch.nan
        speaker_B = torch.randint(0, 3, (batch,), generator=g)
        state = [t.new_zeros((batch, *t.shape[1:])) for t in self.start.values()]
        return (*features, present_BM, speaker_B, *state)

    def facts(self) -> dict[str, Any]:
        """Shapes behind the batch and types of ``inputs``, for the caller to begin with."""

        def form(t: Tensor) -> dict[str, Any]:
            return {"shape": list(t.shape[1:]), "type": str(t.dtype).removeprefix("torch.")}

        forms = {name: form(t) for name, t in zip(self.inputs, self.example(), strict=True)}
        state = {name: f for name, f in forms.items() if name.startswith("state.")}
        return {"inputs": {n: f for n, f in forms.items() if n not in state}, "state": state}


class Whole(nn.Module):
    """The forward of whole conversations as a function of the six tensors of `Dialogue`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, text: Tensor, audio: Tensor, visual: Tensor, present: Tensor, speaker: Tensor, valid: Tensor
    ) -> Tensor:
        """Logits ``[B, N, C]``."""
        logits_BNC: Tensor = self.model(Dialogue(text, audio, visual, present, speaker, valid))
        return logits_BNC


@torch.no_grad()
def step_program(step: Step) -> torch.export.ExportedProgram:
    """``step`` as a program with a free batch."""
    batch = {0: torch.export.Dim("batch", min=1)}
    shapes = ((batch,) * len(step.inputs),)
    with _quiet():
        return torch.export.export(step.eval(), step.example(), dynamic_shapes=shapes, strict=False)


@torch.no_grad()
def whole_program(model: ConversationModel, utterances: int = 11) -> torch.export.ExportedProgram:
    """``model``'s forward over the six tensors of `Dialogue` as a program.

    The batch is free. So is the number of utterances where the host does not walk through them one by one;
    where it does, the program takes conversations padded to ``utterances`` (see docs/export.md).
    """
    g, sizes = torch.Generator().manual_seed(0), model.config.sizes
    rows, free = (EXAMPLE, utterances), {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    features = [torch.randn(*rows, sizes.get(name, 0), generator=g) for name in MODALITIES]
    present_BNM = torch.rand(*rows, len(MODALITIES), generator=g) < 0.7
    speaker_BN, valid_BN = torch.zeros(rows, dtype=torch.int64), torch.ones(rows, dtype=torch.bool)
    tensors = (*features, present_BNM, speaker_BN, valid_BN)
    with _quiet():
        return torch.export.export(Whole(model).eval(), tensors, dynamic_shapes=(free,) * 6, strict=False)


def as_onnx(step: Step, facts: Mapping[str, Any] | None = None) -> bytes:
    """The content of an ONNX file of ``step``; ``facts`` join its metadata.

    Raises:
        ExportError: the packages of the extra ``export`` are missing.
    """
    onnx, onnx_ir = _packages()
    with _quiet():
        exported = torch.onnx.export(
            step_program(step).run_decompositions(TABLE),
            input_names=step.inputs,
            output_names=step.outputs,
            dynamic_shapes=(({0: "batch"},) * len(step.inputs),),  # its name
            dynamo=True,
            verbose=False,
        )
    program = cast("torch.onnx.ONNXProgram", exported)
    # The exporter writes down where each node came from: paths of this machine, which are nobody's business.
    onnx_ir.passes.common.ClearMetadataAndDocStringPass()(program.model)
    proto = program.model_proto
    about = json.dumps({**(facts or {}), **step.facts()})
    onnx.helper.set_model_props(proto, {"lmam": about})
    content: bytes = proto.SerializeToString()
    return content


def save_onnx(step: Step, path: Path, facts: Mapping[str, Any] | None = None) -> float:
    """Write ``step`` to ``path`` as ONNX, after running it beside torch; returns the largest difference.

    Raises:
        ExportError: the packages of the extra ``export`` are missing, ``path`` cannot be written, or the file
            would not say what torch says to 1e-4 (nothing is written then).
    """
    if path.is_dir():
        raise ExportError(f"{path}: is a folder; name a file in it, such as {path / 'step.onnx'}")
    content = as_onnx(step, facts)
    apart = difference(step, content)
    if not apart <= ATOL:
        raise ExportError(f"{path}: not written: it would be {apart:.2g} from torch's (limit {ATOL})")
    try:
        with whole(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.filename}: {error.strerror})") from error
    return apart


@torch.no_grad()
def difference(step: Step, file: bytes | Path, *, utterances: int = 40, batch: int = 2) -> float:
    """The largest difference from torch's, of logits and states, each keeping its own state.

    The conversations are random: modalities come and go, and what is absent is NaN, so that a file that reads
    it gives NaN here.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = file if isinstance(file, bytes) else str(file)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    ours = step.example(batch)
    theirs = [t.numpy() for t in ours]
    read, apart = len(ours) - len(step.start), []
    for n in range(utterances):
        turn = step.example(batch, seed=n)[:read]
        logits, *ours_next = step(*turn, *ours[read:])
        fed = [*(t.numpy() for t in turn), *theirs[read:]]
        their_logits, *their_next = session.run(None, dict(zip(step.inputs, fed, strict=True)))
        for a, b in zip((logits, *ours_next), (their_logits, *their_next), strict=True):
            if a.numel():
                apart.append((a.float() - torch.from_numpy(b).float()).abs().max())
        ours, theirs = (*turn, *ours_next), [*fed[:read], *their_next]
    return float(torch.stack(apart).max())  # NaN if any is


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters speak of themselves (of packages that they do not need, of their own API)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnx_ir.passes.common
        import onnxscript  # noqa: F401  # what the exporter of torch needs
    except ImportError as error:
        raise ExportError(
            f"writing ONNX needs {error.name}, not installed here; run: {install('export')}"
        ) from error
    return onnx, onnx_ir


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint ready to export: the step and the facts that go with it."""

    step: Step
    facts: dict[str, Any]


def load(path: Path, turns: int | None = None) -> Loaded:
    """The model in ``path``: the kind that ships or a trained `ConversationModel` (see `steppable`).

    Raises:
        CheckpointError: the file is missing, damaged or holds no conversation model.
        ExportError: ``turns`` are missing or of no use to the model.
    """
    kind = read_meta(path).get("kind")
    if kind == store.KIND:
        trained = store.load(path)
        facts = {**trained.meta, "temperature": trained.temperature, "labels": list(trained.labels)}
        return Loaded(steppable(trained.model, turns), facts)
    if kind != KIND:
        known = f"{KIND!r} or {store.KIND!r}"
        raise CheckpointError(f"{path}: holds weights of kind {kind!r}; expected a model of kind {known}")
    if turns is not None:
        raise ExportError(f"{path}: steps by itself; --turns is for models that look ahead")
    fusion = load_fusion(path)
    c = fusion.net.config
    facts = {**fusion.meta, "temperatures": fusion.temperatures.table(), "labels": list(fusion.labels)}
    return Loaded(Step(fusion.net, {"text": c.text, "audio": c.heard, "visual": c.visual}), facts)


def steppable(model: ConversationModel, turns: int | None = None) -> Step:
    """``model``'s own step or, with ``turns``, that of a window over it (`models.streaming.Windowed`).

    Raises:
        ExportError: the model looks ahead and no ``turns`` are given, or they are below 1.
    """
    try:
        if turns is not None:
            return Step(Windowed.of(model, turns), model.config.sizes)
        return Step(model, model.config.sizes)
    except ValueError as error:
        advice = "" if turns is not None else "; give --turns N to run it over the last N utterances"
        raise ExportError(f"{error}{advice}") from error
