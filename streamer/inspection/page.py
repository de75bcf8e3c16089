"""The whole page: one file without scripts that fetches nothing; the same findings give the same bytes."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from string import Template

from ..conversations import report_mark
from ..view import READING, label_colours, minutes
from .findings import Findings
from .markup import store, swatch, text
from .tables import disagreements, speakers, utterances
from .timeline import overview, timeline

HERE = Path(__file__).parent


def page(f: Findings) -> str:
    """The report as HTML."""
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=text(f.name),
        version=text(version("lmam-streamer")),
        mark=report_mark(f.session.conversation),
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        colours=_colours(f.labels),
        facts=_facts(f),
        problems=_problems(f),
        reading=text(READING[0].upper() + READING[1:]),
        holds=text(_holds(f)),
        purpose=text(_purpose(f)),
        conversation=text(f.session.conversation),
        legend="".join(f"<li>{swatch(i)}{text(label)}</li>" for i, label in enumerate(f.labels)),
        store=store(f.rows),
        overview=overview(f),
        disagreements=disagreements(f),
        speakers=speakers(f) if f.rows else "<p>Nobody was heard, and no face was seen.</p>",
        timeline=timeline(f),
        utterances=utterances(f) if f.rows else "<p>There are none.</p>",
        transcriber=text(_transcriber(f)),
        pictured=text(_pictured(f)),
        model=text(f.model.name),
        model_version=text(f.model.version),
        labels=text(", ".join(f.labels)),
    )


def _colours(labels: list[str]) -> str:
    """The console's colours of the labels: darker on light ground, lighter on dark."""
    light, dark = (
        ";".join(f"--l{i}:{label_colours(label, labels)[ground]}" for i, label in enumerate(labels))
        for ground in (0, 1)
    )
    uses = "".join(f".l{i}{{stroke:var(--l{i})}}.b{i}{{background:var(--l{i})}}" for i in range(len(labels)))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{uses}"


def _facts(f: Findings) -> str:
    spoken = sum(r.spoken for r in f.rows)
    silent = len(f.rows) - spoken
    abstained = sum(r.estimate.emotion.abstained for r in f.rows)
    parts = [minutes(f.duration), " and ".join(_tracks(f)) or "no track"]
    parts += [_count(spoken, "utterance"), _count(f.people, "speaker")]
    parts += [f"{_count(silent, 'silent stretch', 'silent stretches')} with a face"] if silent else []
    parts += [f"{abstained} abstained"] if abstained else []
    return " · ".join(text(part) for part in parts)


def _tracks(f: Findings) -> list[str]:
    return [name for track, name in (("audio", "sound"), ("video", "pictures")) if track in f.tracks]


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _problems(f: Findings) -> str:
    items = "".join(f"<li>{text(problem)}</li>" for problem in f.problems)
    return f'<ul class="problems" aria-label="What was wrong">{items}</ul>' if items else ""


def _holds(f: Findings) -> str:
    there = ["the course of the sound"] * ("audio" in f.tracks)
    there += ["the words"] * any(r.estimate.text for r in f.rows)
    there += ["pictures of the faces"] * bool(f.pictured)
    *most, last = there or ["readings"]
    return f"{', '.join(most)} and {last}" if most else last


def _purpose(f: Findings) -> str:
    s = f.session
    return s.purpose if s.exemption is None else f"{s.purpose}, exemption {s.exemption}"


def _transcriber(f: Findings) -> str:
    name = f.model.transcriber
    return "no recogniser: words were switched off" if name == "none" else name


def _pictured(f: Findings) -> str:
    if f.pictured == f.faced:
        return ""
    return f"To keep the report small, {f.pictured} of {f.faced} utterances with a face have a picture."
