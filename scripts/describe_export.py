"""Tries every host and fusion with torch.compile, torch.export and ONNX, and writes the tables of docs/export.md.

python scripts/describe_export.py            all of it: about ten minutes on two quiet cores, most of it torch.compile
python scripts/describe_export.py text-cnn   only these rows; the others stay as they are
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from models.conversation import Config, ConversationModel
from models.dialogue import Dialogue, Turn
from models.export import ExportError, Step, save_onnx, step_program, steppable, whole_program
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.span import FULL, Span

TARGET = Path(__file__).parents[1] / "docs" / "export.md"
SIZES = {"text": 20, "audio": 7, "visual": 5}
HOST, FUSION = "text-cnn", "lmam"  # beside the fusion or the host that a row is about
COLUMNS = ("compile forward", "compile step", "export forward", "export step", "ONNX step", "ONNX window")


def net(host: str = HOST, fusion: str = FUSION, span: Span | None = None) -> ConversationModel:
    """A small untrained model in eval mode; its weights take gradients, as those of a checkpoint do."""
    torch.manual_seed(0)
    config = Config(
        sizes=SIZES, classes=5, host=host, fusion=fusion, span=span or Span(4, 0), dim=16, speakers=3
    )
    return ConversationModel(config).eval()


def dialogue(batch: int = 5, n: int = 6) -> Dialogue:
    """Random conversations; modalities come and go."""
    g = torch.Generator().manual_seed(1)
    text, audio, visual = (torch.randn(batch, n, width, generator=g) for width in SIZES.values())
    present_BNM = torch.rand(batch, n, 3, generator=g) < 0.6
    speaker_BN = torch.randint(0, 4, (batch, n), generator=g)
    valid_BN = torch.arange(n) < torch.tensor([[n], [n - 1]]).repeat(batch, 1)[:batch]
    return Dialogue(text, audio, visual, present_BNM, speaker_BN, valid_BN)


def tensors(d: Dialogue) -> tuple[Tensor, ...]:
    return d.text_BNT, d.audio_BNA, d.visual_BNV, d.present_BNM, d.speaker_BN, d.valid_BN


def same(got: Any, want: Any) -> bool:
    """All tensors of two results, to 1e-5."""
    pairs = zip(tree_leaves(got), tree_leaves(want), strict=True)
    return all(torch.allclose(a, b, atol=1e-5, rtol=0) for a, b in pairs)


def compiled(
    run: Callable[..., Any], *args: Any, backend: str, then: Callable[[Any], Any] = lambda got: got
) -> str:
    """How ``run`` compiles: as one graph, as one with nn.LSTM allowed in it, or in parts.

    ``then`` is what its result is used for, outside of the graph, before it is compared.
    """
    from torch._dynamo.exc import Unsupported

    want = then(run(*args))
    ways = (("whole", True, False), ("whole, `allow_rnn`", True, True), ("in parts", False, False))
    for name, fullgraph, allow in ways:
        torch._dynamo.reset()
        with torch._dynamo.config.patch(allow_rnn=allow):
            try:
                got = torch.compile(run, backend=backend, fullgraph=fullgraph)(*args)
            except Unsupported:
                continue
        return name if same(then(got), want) else "differs"
    return "no"


def compiled_forward(model: ConversationModel, backend: str = "inductor") -> str:
    """The logits, and the gradient of their mean square."""
    weights = list(model.parameters())

    def gradient(logits: Tensor) -> tuple[Tensor, ...]:
        loss = logits.square().mean()
        return logits, *torch.autograd.grad(loss, weights, materialize_grads=True)

    return compiled(model.forward, dialogue(), backend=backend, then=gradient)


@torch.no_grad()
def compiled_step(model: ConversationModel, backend: str = "inductor") -> str:
    """The second step, from the state after the first."""
    d = dialogue()
    _, state = model.step(d.turn(0), model.init_state(5))
    turn: Turn = d.turn(1)
    return compiled(model.step, turn, state, backend=backend)


def exported_forward(model: ConversationModel) -> str:
    """Whether the program runs another batch, and another length, as the model does."""
    module = whole_program(model, utterances=11).module()
    other, longer = tensors(dialogue(7, 11)), tensors(dialogue(2, 13))
    if not same(module(*other), model(Dialogue(*other))):
        return "differs"
    try:
        return "any length" if same(module(*longer), model(Dialogue(*longer))) else "differs"
    except (AssertionError, RuntimeError):  # the program guards its shapes
        return "fixed length"


def exported_step(step: Step) -> str:
    """Whether the program runs any batch as the model does."""
    module = step_program(step).module()
    return "yes" if all(same(module(*x), step(*x)) for x in (step.example(1), step.example(7))) else "differs"


def onnx_step(step: Step) -> str:
    """Whether a whole random dialogue by onnxruntime is that of torch; `save_onnx` refuses where it is not."""
    with tempfile.TemporaryDirectory() as folder:
        save_onnx(step, Path(folder) / "step.onnx")
    return "yes"


def attempt(run: Callable[[], str]) -> str:
    """A cell; an error's kind and first line are what the page says of it."""
    try:
        return run()
    except ExportError as error:
        return f"no: {error}"
    except Exception as error:  # torch raises many kinds; a table wants each
        first = str(error).strip().partition("\n")[0][:80].replace("|", "/")
        return f"no: {type(error).__name__} {first}"


def row(name: str) -> list[str]:
    """The cells of a host or a fusion."""
    host, fusion = (name, FUSION) if name in HOSTS else (HOST, name)
    model, full = net(host, fusion), net(host, fusion, FULL)
    return [
        attempt(lambda: compiled_forward(model)),
        attempt(lambda: compiled_step(model)),
        attempt(lambda: exported_forward(full)),
        attempt(lambda: exported_step(steppable(model))),
        attempt(lambda: onnx_step(steppable(model))),
        attempt(lambda: onnx_step(steppable(full, 4))),
    ]


def tables(rows: dict[str, list[str]]) -> dict[str, str]:
    """Markdown by marker."""

    def table(title: str, names: Iterable[str]) -> str:
        head = [f"| {title} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
        return "\n".join(
            head + [f"| `{name}` | {' | '.join(rows[name])} |" for name in names if name in rows]
        )

    return {"hosts": table("host", HOSTS), "fusions": table("fusion", FUSIONS)}


def read(page: str) -> dict[str, list[str]]:
    """The rows that stand in the page."""
    known = {f"`{name}`": name for name in (*HOSTS, *FUSIONS)}
    split = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines()]
    return {known[cells[0]]: cells[1:] for cells in split if cells[0] in known and len(cells) > len(COLUMNS)}


def filled(page: str, rows: dict[str, list[str]]) -> str:
    """``page`` with the tables of ``rows`` between its markers."""
    for name, table in tables(rows).items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + table + end + rest.partition(end)[2]
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="hosts and fusions; default: all")
    names = parser.parse_args().names or [*HOSTS, *FUSIONS]
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for name in names:
        cells = row(name)
        print(name, *cells, sep=" | ", flush=True)
        page = TARGET.read_text(encoding="utf-8")
        TARGET.write_text(filled(page, {**read(page), name: cells}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
