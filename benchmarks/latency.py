"""Delay from the true end of speech to the published final, real-time factor and peak memory, on this machine.

    python benchmarks/latency.py [--media FILE] [--transcriber sidecar|pocketsphinx|none|...] [--json FILE]

The true end of speech is the end of the sidecar's cue (the bundled sample was made by a script that knows it).
The file is replayed at pace 1.0 by a process of its own, which publishes over MQTT to a broker in this one;
a final counts as published when a subscriber here has received it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
from rich.console import Console
from rich.table import Table

from streamer.mqtt.broker import embedded_broker
from streamer.mqtt.options import address
from streamer.payloads import EstimateV1
from streamer.sources.decode import probe
from streamer.sources.sidecar import Cue, find_sidecar, read_cues

SAMPLE = Path(__file__).parents[1] / "streamer" / "sample" / "sample.mp4"
PARTS = ("endpoint wait", "ASR", "features", "fusion", "queues + publish", "all but wait and ASR", "total")


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from the true end of speech, by cause."""

    wait: float
    asr: float
    features: float
    fusion: float
    total: float

    def row(self) -> tuple[float, ...]:
        rest = self.total - self.wait - self.asr - self.features - self.fusion
        own = self.total - self.wait - self.asr
        return self.wait, self.asr, self.features, self.fusion, rest, own, self.total


def delay(received: datetime, e: EstimateV1, cues: Sequence[Cue]) -> Delay | None:
    """What held up ``e``; None where no cue tells when the speech really ended."""
    if e.latency.endpoint is None:
        return None  # a face in silence
    overlaps = [min(e.end, c.span.end) - max(e.start, c.span.start) for c in cues]
    best = int(np.argmax(overlaps))
    if overlaps[best] <= 0:
        return None
    late = e.end - cues[best].span.end  # how much sound after the true end the segment holds
    true_end = e.captured_at - timedelta(seconds=late)
    lat = e.latency
    return Delay(
        (lat.endpoint or 0.0) + late,
        lat.transcribe,
        lat.encode,
        lat.fuse,
        (received - true_end).total_seconds(),
    )


async def replay(media: Path, options: Sequence[str]) -> list[Delay]:
    """Run ``lmam analyze --pace 1.0`` on ``media`` and time what arrives."""
    sidecar = find_sidecar(media)
    if sidecar is None:
        raise SystemExit(
            f"{media}: the true ends of speech are read from a sidecar (.vtt, .srt); there is none"
        )
    cues, delays = read_cues(sidecar), []
    async with embedded_broker(port=0) as url:
        at = address(url)
        async with aiomqtt.Client(at.host, at.port) as client:
            await client.subscribe("affect/v1/#", qos=1)
            process = await _analyze(media, "--pace", "1.0", "--mqtt", url, *options)

            async def listen() -> None:
                async for message in client.messages:
                    if str(message.topic).endswith("/utterance"):
                        estimate = EstimateV1.model_validate_json(bytes(message.payload))  # type: ignore[arg-type]
                        if found := delay(datetime.now(UTC), estimate, cues):
                            delays.append(found)

            task = asyncio.create_task(listen())
            await process.wait()
            await asyncio.sleep(0.5)
            task.cancel()
    if process.returncode:
        raise SystemExit(f"lmam analyze ended with {process.returncode}")
    return delays


async def fast(media: Path, options: Sequence[str]) -> float:
    """Wall seconds of the analysis itself (without loading) at ``--pace fast``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        process = await _analyze(media, "--pace", "fast", "--json", str(report), *options)
        if await process.wait():
            raise SystemExit(f"lmam analyze ended with {process.returncode}")
        seconds: float = json.loads(report.read_text())["seconds"]
        return seconds


async def _analyze(media: Path, *options: str) -> asyncio.subprocess.Process:
    with tempfile.TemporaryFile() as nowhere:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer", "analyze", str(media), *options, stdout=nowhere
        )


def machine() -> str:
    """Processor, cores and Python, as a table's caption."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def show(title: str, delays: Sequence[Delay], rtf: float, memory: float) -> dict[str, Any]:
    table = Table(title=f"{title}: {len(delays)} utterances, milliseconds", caption=machine())
    for name in ("part", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name == "part" else "right")
    rows = np.array([d.row() for d in delays]) * 1000
    result: dict[str, Any] = {"n": len(delays), "real_time_factor": rtf, "peak_memory_mb": memory, "ms": {}}
    for part, values in zip(PARTS, rows.T, strict=True):
        points = [float(np.percentile(values, q)) for q in (50, 95, 99)]
        result["ms"][part] = dict(zip(("p50", "p95", "p99"), points, strict=True))
        table.add_row(part, *(f"{p:.0f}" for p in points))
    Console().print(table)
    Console().print(
        f"real-time factor at --pace fast: {rtf:.3f} ({1 / rtf:.1f}x); peak memory {memory:.0f} MiB\n"
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--media", type=Path, default=SAMPLE, help="a file with a sidecar transcript")
    parser.add_argument(
        "--transcriber", action="append", help="kinds to measure; default: sidecar, pocketsphinx"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    duration, results = probe(args.media).duration or 0.0, {}
    for kind in args.transcriber or ["sidecar", "pocketsphinx"]:
        options = ["--set", f"transcriber.kind={kind}"]
        if kind not in ("sidecar", "auto"):
            options = ["--set", f'transcriber={{kind="{kind}"}}']
        seconds = asyncio.run(fast(args.media, options))
        delays = asyncio.run(replay(args.media, options))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        results[kind] = show(f"{args.media.name}, words: {kind}", delays, seconds / duration, memory)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
