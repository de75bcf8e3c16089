"""What a person sees of a running node: pictures of messages for a terminal, and plain lines for a pipe.

Pure: events in, renderables and lines out. The console sink and ``lmam watch`` show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .payloads import EstimateV1, Event, HealthV1, ModalityV1, SessionV1

READING = "observed expression: an observer's reading, never what anyone feels"
NOTICE = "Everyone who is seen or heard must be told that this system reads expression."

_LABELS = {  # of a bar, of a word
    "neutral": ("#5f6b7a", "#a3adb8"),
    "joy": ("#a67c00", "#e5b93a"),
    "sadness": ("#2f6fb3", "#78b0e8"),
    "anger": ("#b3261e", "#f07a6e"),
    "surprise": ("#c2571a", "#f59a5c"),
    "fear": ("#7b4ba0", "#bf97e6"),
    "disgust": ("#3b7d3b", "#84c784"),
}
_SPARE = (("#80607a", "#c9a3c2"), ("#607a80", "#a3c0c9"), ("#7a8060", "#bfc99a"))  # labels of other models
_SPEAKERS = ("cyan", "yellow", "green", "magenta", "blue", "red")
STALE = 10.0  # seconds after which an utterance that nobody finished is no longer shown
DRIFT = 0.1  # seconds from which a drift is shown
_WIDE = 96  # columns from which the modalities fit beside the words
_CELL = 12  # columns of one label's bar, at least
_PLAIN_BAR = 10  # signs of a full bar in a plain line


class View:
    """The conversation as it stands.

    Args:
        duration: Seconds of the file that is read, for the progress bar; None where there is no end in sight.
        history: How many finals `render` remembers.
    """

    def __init__(self, duration: float | None = None, history: int = 200) -> None:
        self.duration = duration
        self.finals: deque[EstimateV1] = deque(maxlen=history)
        self.partials: dict[str, EstimateV1] = {}
        self.health: HealthV1 | None = None
        self.session: SessionV1 | None = None
        self.count = self.skipped = 0
        self.position = 0.0  # seconds up to which estimates have arrived
        self._speakers: dict[str, str] = {}
        self._column = 2  # width of the speakers' names so far

    def update(self, event: Event) -> None:
        """Take in one event, in the order of its arrival."""
        match event:
            case HealthV1():
                self.health = event
            case SessionV1():
                self._take_session(event)
            case EstimateV1():
                self._take_estimate(event)

    def skip(self, events: int, finals: int) -> None:
        """``events`` will not be shown, ``finals`` of them estimates that count."""
        self.skipped += events
        self.count += finals

    def _take_session(self, event: SessionV1) -> None:
        if event.event == "purged":
            self.finals.clear()
        if event.event == "stopped" and self.duration is not None:
            self.position = self.duration
        if event.event in ("purged", "stopped", "paused"):
            self.partials.clear()
        self.session = event

    def _take_estimate(self, e: EstimateV1) -> None:
        self.position = max(self.position, e.end)
        self._colour(e.speaker.id)
        self._widen(e)
        if not e.final:
            self.partials[e.id] = e
            return
        self.finals.append(e)
        self.count += 1
        for key in [k for k, p in self.partials.items() if _over(p, e)]:
            del self.partials[key]

    def render(self) -> RenderableType:
        """Everything: header, finals, what is being said, footer."""
        return Group(self.header(), "", *map(self.entry, self.finals), self.status())

    def header(self) -> RenderableType:
        """What this is, of what and what for."""
        s = self.session
        title = Text.assemble(("LMAM Streamer", "bold"))
        if s is not None:
            title.append("  ").append(
                f"conversation {_clean(s.conversation)}  purpose {_clean(s.purpose)}", "cyan"
            )
            for name, value in (("consent", s.consent), ("exemption", s.exemption)):
                if value is not None:
                    title.append(f"  {name} {_clean(value)}", "cyan")
        return Group(title, Text(READING, "italic"), Text(NOTICE, "dim"))

    def entry(self, e: EstimateV1) -> RenderableType:
        """One estimate: when, who, what was said, a bar a label, what it rests on; dim while provisional."""
        return _Entry(e, self._colour(e.speaker.id), self._widen(e))

    def status(self) -> RenderableType:
        """The lines below the finals: what is being said, then how the node keeps up."""
        return Group(*map(self.entry, self.partials.values()), *self._footer())

    def _footer(self) -> list[RenderableType]:
        rows: list[RenderableType] = []
        if self.duration:
            rows.append(_progress(self.position, self.duration))
        h = self.health
        parts = [f"{self.count} utterances"]
        last = self.finals[-1].latency.total if self.finals else None
        if last is not None:
            parts.append(f"last after {last:.2f} s")
        if h is not None:
            parts += [f"lag {h.lag:.1f} s", f"{h.fps:.1f} fps", *_dropped(h)]
            parts += [*_drift(h), f"{h.memory_mb:.0f} MB"]
        if self.skipped:
            parts.append(f"{self.skipped} not shown")
        footer = Text().append("  ".join(parts), "dim")
        if h is not None and h.behind:
            footer.append("  BEHIND", "bold red")
        if (h is not None and h.paused) or (self.session is not None and self.session.event == "paused"):
            footer.append("  PAUSED", "bold yellow")
        rows.append(footer)
        if h is not None:
            rows += [Text(f"{_clean(k)}: {_clean(v)}", "red") for k, v in sorted(h.problems.items())]
        return rows

    def line(self, event: Event) -> str:
        """``event`` as one line without control codes; a session's start is three."""
        match event:
            case EstimateV1():
                return _plain_estimate(event)
            case HealthV1():
                return _plain_health(event)
            case SessionV1():
                return _plain_session(event)

    def _widen(self, e: EstimateV1) -> int:
        """The column of the speakers, wide enough for this one as well."""
        self._column = min(12, max(self._column, len(_who(e))))
        return self._column

    def _colour(self, speaker: str) -> str:
        """The colour of ``speaker``, by order of appearance."""
        if speaker not in self._speakers and len(self._speakers) < 1000:
            self._speakers[speaker] = _SPEAKERS[len(self._speakers) % len(_SPEAKERS)]
        return self._speakers.get(speaker, _SPEAKERS[0])


def _over(partial: EstimateV1, final: EstimateV1) -> bool:
    """Whether ``final`` tells that ``partial`` will not go on, even if its own final never came through."""
    followed = partial.speaker == final.speaker and partial.start <= final.start
    return partial.id == final.id or followed or partial.end < final.start - STALE


class _Entry:
    """Lays an estimate out for the width it is given."""

    def __init__(self, estimate: EstimateV1, colour: str, column: int) -> None:
        self._e, self._colour, self._column = estimate, colour, column

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        e, dim = self._e, "" if self._e.final else "dim "
        wide = options.max_width >= _WIDE
        colour = label_colours(e.emotion.label, list(e.emotion.probabilities))[1]
        said = Text.assemble(
            (_verdict(e), f"{dim}bold {colour}"),
            " " * max(2, 14 - len(_verdict(e))),
            (_words(e), dim + ("italic" if e.text is None else "default")),
        )
        marks = _marks(e)
        first = Table.grid(expand=True, padding=(0, 2, 0, 0))
        first.add_column(ratio=1)
        if wide:
            first.add_column(no_wrap=True, justify="right")
        first.add_row(*([said, marks] if wide else [said]))
        grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
        grid.add_column(width=7, justify="right", no_wrap=True)
        grid.add_column(width=self._column, no_wrap=True, overflow="ellipsis")
        grid.add_column(ratio=1)
        who = Text(_who(e), f"{dim}bold {self._colour}")
        below: list[RenderableType] = [first, _Bars(e)] if wide else [first, _Bars(e), marks]
        grid.add_row(Text(minutes(e.start), "dim"), who, Group(*below))
        yield grid


class _Bars:
    """One bar a label, its name and percentage inside; on a narrow terminal only the largest."""

    def __init__(self, estimate: EstimateV1) -> None:
        self._e = estimate

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        p = self._e.emotion.probabilities
        labels = list(p)
        room = max(1, options.max_width // _CELL)
        shown = set(sorted(labels, key=lambda k: -p[k])[:room])
        width = min(18, options.max_width // min(room, len(labels)))
        line = Text(no_wrap=True, overflow="crop")
        for label in (k for k in labels if k in shown):
            colour = f"white on {label_colours(label, labels)[0]}" if console.color_system else "reverse"
            line.append_text(_bar(label, p[label], width - 1, colour, dim=not self._e.final))
            line.append(" ")
        yield line


def _bar(label: str, p: float, width: int, colour: str, *, dim: bool) -> Text:
    """``width`` columns with the name and percentage, as many of them filled as ``p`` says."""
    bar = Text(f"{_clean(label)[: width - 3]:<{width - 3}}{_percent(p):>3}", "dim")
    bar.stylize(f"{'dim' if dim else 'not dim'} {colour}", 0, round(p * width))
    return bar


def label_colours(label: str, labels: Sequence[str]) -> tuple[str, str]:
    """The colours of ``label``, one of ``labels``: of a bar on light ground, and a lighter one of a word."""
    return _LABELS.get(label) or _SPARE[labels.index(label) % len(_SPARE)]


def _marks(e: EstimateV1) -> Text:
    """How much each modality weighed, in percent; a dash where it was absent. Then valence and arousal."""
    marks = Text(no_wrap=True, overflow="ellipsis")
    for name, modality in _modalities(e):
        share = _percent(modality.weight) if modality.present else "-"
        marks.append(f"{name} {share:>3}  ", "default" if modality.present and e.final else "dim")
    for name, value in _dimensions(e):
        marks.append(f"{name[0].upper()} {value:+.1f}  ", "default" if e.final else "dim")
    marks.rstrip()
    return marks


def _modalities(e: EstimateV1) -> tuple[tuple[str, ModalityV1], ...]:
    m = e.modalities
    return ("words", m.text), ("voice", m.audio), ("face", m.visual)


def _dimensions(e: EstimateV1) -> list[tuple[str, float]]:
    return [(n, v) for n, v in (("valence", e.valence), ("arousal", e.arousal)) if v is not None]


def _verdict(e: EstimateV1) -> str:
    reading = f"{_clean(e.emotion.label)} {_percent(e.emotion.confidence)}%"
    return f"abstained ({reading})" if e.emotion.abstained else reading


def _words(e: EstimateV1) -> str:
    if e.text is not None:
        return _clean(e.text) + ("" if e.final else " ...")
    if not e.modalities.audio.present and not e.modalities.text.present:
        return "(silent)"
    return "(words not published)" if e.modalities.text.present else "(no words)"


def _who(e: EstimateV1) -> str:
    return _clean(e.speaker.label or e.speaker.id)


def _progress(position: float, duration: float) -> RenderableType:
    share = min(1.0, position / duration)
    row = Table.grid(expand=True, padding=(0, 1, 0, 0))
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    row.add_row(
        Text(f"{minutes(min(position, duration))} of {minutes(duration)}", "dim"),
        ProgressBar(total=1.0, completed=share),
        Text(f"{_percent(share)}%", "dim"),
    )
    return row


def _plain_estimate(e: EstimateV1) -> str:
    bars = " ".join(
        f"{_clean(label)} {'#' * max(1, round(p * _PLAIN_BAR))}"
        for label, p in sorted(e.emotion.probabilities.items(), key=lambda item: -item[1])
        if p >= 0.05
    )
    marks = " ".join(
        (
            *(f"{n} {_percent(m.weight) if m.present else '-'}" for n, m in _modalities(e)),
            *(f"{n} {v:+.2f}" for n, v in _dimensions(e)),
        )
    )
    said = f'"{_words(e)}"' if e.text is not None else _words(e)
    return (
        f"{minutes(e.start):>7} {_who(e)} {_verdict(e)}{'' if e.final else ' (provisional)'}"
        f" [{bars}] {marks}  {said}"
    )


def _plain_health(h: HealthV1) -> str:
    state = " BEHIND" if h.behind else ""
    state += " PAUSED" if h.paused else ""
    problems = "".join(f"; {_clean(k)}: {_clean(v)}" for k, v in sorted(h.problems.items()))
    figures = [f"lag {h.lag:.1f} s", f"{h.fps:.1f} fps", *_dropped(h), *_drift(h), f"{h.memory_mb:.0f} MB"]
    return f"health:{state} {', '.join(figures)}{problems}"


def _dropped(h: HealthV1) -> list[str]:
    """What was lost; pictures apart, since a stale one is let go by design."""
    stale = h.channels["video"].dropped if "video" in h.channels else 0
    return [f"dropped {h.dropped - stale}", *([f"stale pictures {stale}"] if stale else [])]


def _drift(h: HealthV1) -> list[str]:
    """A microphone's clock that runs visibly beside ours, or has lost sound."""
    return [] if h.drift is None or abs(h.drift) < DRIFT else [f"drift {h.drift:+.1f} s"]


def _plain_session(s: SessionV1) -> str:
    facts = chain((f"purpose {s.purpose}",), (f"consent {s.consent}",) if s.consent else ())
    line = f"{s.event}: conversation {_clean(s.conversation)}, {_clean(', '.join(facts))}"
    return f"{line}\n{READING}\n{NOTICE}" if s.event == "started" else line


def minutes(seconds: float) -> str:
    """``m:ss.s``, or ``h:mm:ss`` from an hour on."""
    whole, rest = divmod(round(seconds * 10), 600)
    if whole >= 60:
        return f"{whole // 60}:{whole % 60:02d}:{rest // 10:02d}"
    return f"{whole}:{rest // 10:02d}.{rest % 10}"


def _percent(share: float) -> str:
    return str(round(100 * share))


def _clean(text: str) -> str:
    """``text`` without anything that could steer a terminal: it may come from a network."""
    return "".join(c if c.isprintable() else " " for c in text)
