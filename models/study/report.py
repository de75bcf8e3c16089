"""Write docs/results.md and docs/results.json from stored rows: ``python -m models.study.report``.

Nothing is run and no data are read. A row that has fewer seeds than it should is in the table with the number
it has, and the table says so: the study may be written down at any time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models import command
from models.perception import asked, benched
from models.perception import report as perception
from models.perception.shipped import report as shipped
from models.report import read as model_rows
from models.spread import figures, spread
from models.study.plan import BEST, Entry, planned
from models.study.run import COMMAND, RESULTS, results
from models.study.words import CONCLUSIONS, DUEL, HEAD, MISSING, OTHER, TABLES, TARGETS
from models.training import rows
from models.training.config import parse
from models.training.rows import Row
from models.training.sweep import Job, Line, lines

ROOT = Path(__file__).parents[2]
CORPORA = ("mosi", "iemocap6", "meld")
TASKS = ("next_item", "mustard")
ENCODERS = ("affect", "voice", "ravdess")
SHIPS = "ships"  # the rows of the models that ship, results/meld.jsonl
BENCHED = "benchmarks"  # entries made of results/speakers.json and results/prosody.json
SHIPPED = "perception"  # written by 'lmam bench perception'
RIVALS = ("cross-modal-attention", "cross-modal", "concat")  # with ten seeds, as LMAM
DUELS = {f"mosi-{host}-past": host for host in ("bc-lstm", "transformer", "speaker-gru")}
Summary = dict[str, Any]


def by_config(found: Iterable[Row]) -> dict[str, dict[int, Row]]:
    """Rows by the digest of their configuration and by seed; of several data digests the newest."""
    out: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in found:
        digest = parse(row["config"], "a stored row").digest()
        have = out[digest]
        if any(r["data"] != row["data"] for r in have.values()):
            have.clear()
        have[row["seed"]] = row
    return out


def tables(
    planned: Sequence[Entry], found: Iterable[Row], baseline: str | None = None
) -> dict[str, list[Line]]:
    """The lines of every planned table that has a row, compared with the line ``baseline`` (default: the
    first); a table without that line is left out."""
    have = by_config(found)
    groups: dict[str, list[Job]] = defaultdict(list)
    used: dict[str, list[Row]] = defaultdict(list)
    for e in planned:
        for seed, row in sorted(have.get(e.config.digest(), {}).items()):
            if seed in e.seeds:
                groups[e.table].append(Job(e.name, e.config, seed, row["key"]))
                used[e.table].append(row)
    return {
        table: lines(jobs, used[table], baseline)
        for table, jobs in groups.items()
        if baseline is None or any(job.name == baseline for job in jobs)
    }


def markdown(table: str, found: Sequence[Line], planned: Sequence[Entry]) -> str:
    """One table; the bold row is the best on dev."""
    wanted = {e.name: len(e.seeds) for e in planned if e.table == table}
    head = [
        "row",
        "test wF1",
        "macro F1",
        "dev wF1",
        "against the first row",
        "fusion / all parameters",
        "step",
    ]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in found:
        first = line.rows[0]
        meant = line.chosen and first["dataset"] != "mosi"  # whose dev split says nothing (see `words.HEAD`)
        name = f"**{line.name}**" if meant else line.name
        if len(line.rows) < wanted[line.name]:
            name += f" ({len(line.rows)} of {wanted[line.name]} seeds)"
        step = (
            "-"
            if first["step_ms"] is None
            else f"{statistics.median(r['step_ms'] for r in line.rows):.1f} ms"
        )
        cells = [
            name,
            _f1(line),
            f"{line.mean('test', 'macro_f1'):.1f}",
            f"{line.mean('dev', 'weighted_f1'):.1f}",
            str(line.comparison or "-"),
            f"{first['fusion_parameters']:,} / {first['parameters']:,}",
            step,
        ]
        out.append("| " + " | ".join(cells) + " |")
    missing = len(wanted) - len(found)
    if missing:
        out += ["", f"{missing} of {len(wanted)} rows have not been run yet."]
    return "\n".join(out)


def extra(found: Sequence[Line], field: str, title: str) -> str:
    """Test weighted F1 of every line under each condition that its rows hold in ``field``."""
    conditions = list(dict.fromkeys(c for line in found for c in line.rows[0].get(field, {})))
    if not conditions:
        return ""
    head = "| row | all | " + " | ".join(conditions) + " |"
    out = [f"\n{title}\n", head, "|---" * (len(conditions) + 2) + "|"]
    for line in found:
        cells = [f"{line.mean('test', 'weighted_f1'):.1f}"]
        for c in conditions:
            values = [r[field][c]["weighted_f1"] for r in line.rows if c in r.get(field, {})]
            cells.append(f"{statistics.mean(values):.1f}" if values else "-")
        out.append(f"| {line.name} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def duels(planned: Sequence[Entry], found: Sequence[Row]) -> str:
    """`BEST` against each of `RIVALS` in the same host on MOSI, past only, as far as both have run."""
    head = ["host", "rival", "rival's wF1", f"{BEST}'s wF1", "difference", "seeds", "fusion parameters"]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for rival in RIVALS:
        pair = [e for e in planned if e.table in DUELS and e.name in (rival, BEST)]
        for table, both in tables(pair, found, rival).items():
            by_name = {line.name: line for line in both}
            ours, theirs = by_name.get(BEST), by_name[rival]
            if ours is None or ours.comparison is None:
                continue
            sizes = [line.rows[0]["fusion_parameters"] for line in (ours, theirs)]
            cells = [DUELS[table], rival, _f1(theirs), _f1(ours), str(ours.comparison)]
            cells += [str(ours.comparison.seeds), f"{sizes[0]:,} for {sizes[1]:,}"]
            out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) if len(out) > 2 else ""


def _f1(line: Line) -> str:
    return f"{line.mean('test', 'weighted_f1'):.1f} ± {line.spread('test', 'weighted_f1'):.1f}"


def tasks(found: Sequence[Row]) -> tuple[str, list[Summary]]:
    """Tables of the other tasks, a row for each model, fusion and protocol.

    What was learnt while leaks were in train is out of date as soon as a row without them is stored.
    """
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for r in found:
        group = groups[r["table"], r["dataset"], r["protocol"], r["model"], r["fusion"]]
        if group and group[0].get("leaks") != r.get("leaks"):
            group.clear()
        group.append(r)
    out, summaries, last = [], [], ("", "", "")
    for (table, dataset, protocol, model, fusion), group in sorted(groups.items(), key=lambda g: g[0][:3]):
        measures = [m for m in ("weighted_f1", "hr@10", "hr@20", "mrr@20") if m in group[0]["test"]]
        if (table, dataset, protocol) != last:
            last = (table, dataset, protocol)
            head = ["model", "fusion", *measures, "seeds", "fusion parameters"]
            out += [
                f"\n**{dataset}**: {protocol}.\n",
                "| " + " | ".join(head) + " |",
                "|---" * len(head) + "|",
            ]
        cells = [model, fusion, *(spread([r["test"][m] for r in group]) for m in measures)]
        cells += [str(len(group)), f"{group[0]['fusion_parameters']:,}"]
        out.append("| " + " | ".join(cells) + " |")
        summaries += [summary(table, m, group) for m in measures]
    return "\n".join(out), summaries


def summary(table: str, measure: str, group: Sequence[Row]) -> Summary:
    """One entry of docs/results.json: what ``group``, the seeds of one row, measured on test."""
    values, first = [r["test"][measure] for r in group], group[0]
    return {
        "table": table,
        "dataset": first["dataset"],
        "model": first["model"],
        "fusion": first["fusion"],
        "context": first["context"],
        "protocol": first["protocol"],
        "text": first.get("text", ""),
        "modalities": first.get("modalities", []),
        "options": first.get("options", {}),
        "metric": measure,
        **figures(values),
        "seeds": sorted(r["seed"] for r in group),
        "parameters": first["parameters"],
        "target": TARGETS.get(table) if measure == "weighted_f1" else None,
        "commit": first["commit"],
        "command": first["command"] or COMMAND,
    }


def write(found: Mapping[str, Sequence[Row]], planned: Sequence[Entry]) -> tuple[str, list[Summary]]:
    """The page and the list, from the rows of each file."""
    runs = [r for c in CORPORA for r in found[c]]
    done = tables(planned, runs)
    page, summaries = [HEAD], []
    for table, (title, words) in TABLES.items():
        if table not in done:
            continue
        page += [f"\n### {title}\n", words + "\n", markdown(table, done[table], planned)]
        page.append(extra(done[table], "word_errors", "Test weighted F1 by the share of wrong words:"))
        if table.endswith(("-past", "-full")):
            page.append(extra(done[table], "without", MISSING))
        for line in done[table]:
            summaries += [
                {**summary(table, m, line.rows), "row": line.name} for m in ("weighted_f1", "macro_f1")
            ]
    if duel := duels(planned, runs):
        page += [DUEL, duel]
    text, more = tasks([r for t in TASKS for r in found[t]])
    senses, seen = perception.section([r for e in ENCODERS for r in found.get(e, ())])
    ships = shipped.section(found.get(SHIPPED, ()))
    sensed = [
        *seen,
        *asked.lost_to_noise(seen),
        *asked.five_seeds(found.get(SHIPS, ())),
        *found.get(SHIPPED, ()),
        *found.get(BENCHED, ()),
    ]
    every = asked.judged(summaries + more + sensed)
    goals = asked.overview(every)
    if senses or ships:
        goals = "\n## Perception\n\n" + goals
    page += ["\n## Other tasks\n", OTHER, text, CONCLUSIONS, goals, senses, ships]
    return "\n".join(p for p in page if p) + "\n", every


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.study.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored rows")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where results.md and .json go")
    args = parser.parse_args(argv)
    return command.run(lambda: _write(args))


def _write(args: argparse.Namespace) -> None:
    found = {c: rows.read(results(c, args.results)) for c in CORPORA}
    found |= {t: rows.read(args.results / f"{t}.jsonl") for t in (*TASKS, *ENCODERS)}
    meld = args.results / "meld.jsonl"
    found[SHIPS] = model_rows(meld) if meld.exists() else []
    found[SHIPPED] = shipped.read(args.results / f"{SHIPPED}.json")
    found[BENCHED] = list(benched.summaries(benched.read(args.results)))
    page, summaries = write(found, planned())
    (args.out / "results.md").write_text(page, encoding="utf-8")
    (args.out / "results.json").write_text(json.dumps(summaries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
