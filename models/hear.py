"""What a small recogniser hears of MELD's train sentences when espeak-ng speaks them, for training.

    python -m models.hear --data ../shared/data --out runs/heard.jsonl
    python -m models.train meld --heard runs/heard.jsonl ...

Errors that are made up (`models.asr_noise`) are of words that are spelt alike. These are the real ones of
PocketSphinx, the recogniser that is always at hand live, though of synthetic speech: each sentence is spoken
by one voice at one of several speeds, drawn by seed and sentence. The file holds a JSON
object a line, ``said`` and ``heard``; the same command adds what it lacks, so that it may be stopped and go
on. It quotes MELD, so it stays where MELD stays.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly  # type: ignore[import-untyped]

from models import command, meld
from models.asr_noise import plain
from models.extras import install

RATE = 16000  # Hz, of the recogniser
HEADER = 44  # bytes of the WAV that espeak-ng writes, whose length field is not set in a pipe
UP_DOWN = 320, 441  # from espeak-ng's 22,050 Hz
VOICE = "en-us+f2"  # half of the words are heard right; of espeak-ng's usual voice and five others, a fifth
WORDS_A_MINUTE = (130, 150, 170)
LONGEST = 30  # words: what is longer takes its time and is cut live, too
log = logging.getLogger("models.hear")


def speak(text: str, speed: int, voice: str = VOICE) -> NDArray[np.int16]:
    """``text`` as espeak-ng says it, mono at `RATE`.

    Raises:
        ValueError: espeak-ng is not installed, or does not know the voice.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise ValueError("espeak-ng is not installed: apt-get install espeak-ng")
    call = [program, "-v", voice, "-s", str(speed), "--stdout", "--", text]
    done = subprocess.run(call, capture_output=True, check=False)
    if done.returncode or len(done.stdout) < HEADER:
        raise ValueError(
            f"espeak-ng cannot speak as {voice!r}: {done.stderr.decode(errors='replace').strip()}"
        )
    pcm = np.frombuffer(done.stdout[HEADER:][: (len(done.stdout) - HEADER) // 2 * 2], "<i2")
    at_rate: NDArray[np.float64] = resample_poly(pcm.astype(np.float64), *UP_DOWN)
    return np.clip(at_rate, -32768, 32767).astype(np.int16)


@cache
def _decoder() -> Any:
    from pocketsphinx import Decoder  # type: ignore[import-untyped]

    return Decoder(samprate=RATE, fwdflat=False, loglevel="FATAL")


def recognise(pcm: NDArray[np.int16]) -> str:
    """The words that PocketSphinx hears; "" where it hears none."""
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return "" if found is None else plain(found.hypstr)


def hear(text: str, seed: int) -> tuple[str, str]:
    """``text`` and what is heard of it."""
    random_ = random.Random(f"{seed} {text}")
    return text, recognise(speak(text, random_.choice(WORDS_A_MINUTE)))


def sentences(data: Path, most: int, seed: int) -> list[str]:
    """``most`` different sentences of MELD train that have a word, drawn by ``seed``.

    Raises:
        ValueError: MELD is missing or damaged.
    """
    texts = dict.fromkeys(t for c in meld.load(data, "train") for t in c.texts)
    known = [t for t in texts if 0 < len(plain(t).split()) <= LONGEST]
    return random.Random(seed).sample(known, min(most, len(known)))


def read(path: Path) -> dict[str, str]:
    """What was heard of each sentence in ``path``; a last line that was cut off does not count.

    Raises:
        ValueError: the file is missing, or another line is not of this format.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error}); python -m models.hear writes it") from error
    try:
        rows = [json.loads(line) for line in lines[:-1]]
        return {str(row["said"]): str(row["heard"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not what python -m models.hear writes ({error})") from error


def missing(texts: Sequence[str], path: Path, jobs: int, seed: int) -> Iterator[tuple[str, str]]:
    """Hear those of ``texts`` that ``path`` lacks, and keep each there as soon as it is heard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read(path) if path.exists() else {}
    if path.exists():  # without what a kill cut off
        path.write_text("".join(_line(*item) for item in known.items()), encoding="utf-8")
    todo = [t for t in texts if t not in known]
    log.info("%d of %d sentences to be heard", len(todo), len(texts))
    with path.open("a", encoding="utf-8") as out, ProcessPoolExecutor(jobs) as pool:
        try:
            for said, heard in pool.map(hear, todo, [seed] * len(todo)):
                out.write(_line(said, heard))
                out.flush()
                yield said, heard
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _line(said: str, heard: str) -> str:
    return json.dumps({"said": said, "heard": heard}, ensure_ascii=False) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.hear", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds meld/")
    parser.add_argument("--out", type=Path, required=True, help="where sentences and what was heard go")
    parser.add_argument(
        "--most", type=int, default=1200, help="sentences (default: 1200, 20 minutes of a core)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    args = parser.parse_args(argv)
    return command.run(lambda: _hear(args), "stopped; the same command goes on from here")


def _hear(args: argparse.Namespace) -> None:
    texts = sentences(args.data, args.most, args.seed)
    with command.bar() as bar:
        task = bar.add_task("sentences heard", total=None)
        for _ in missing(texts, args.out, args.jobs, args.seed):
            bar.advance(task)
    log.info("%d sentences, words wrong: %.0f %%", len(texts), 100 * word_error_rate(read(args.out)))


def word_error_rate(heard: dict[str, str]) -> float:
    """Edits by words said.

    Raises:
        ValueError: jiwer is not installed.
    """
    try:
        from jiwer import wer
    except ImportError:
        raise ValueError(f"counting word errors needs jiwer; run: {install('bench')}") from None
    return float(wer([plain(said) for said in heard], list(heard.values())))


if __name__ == "__main__":
    sys.exit(main())
