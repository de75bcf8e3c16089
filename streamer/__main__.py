"""The command ``lmam``: runs `streamer.cli` and turns errors into words and exit codes."""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import sys


def main() -> None:
    """Exit code 0: done; 2: wrong usage or configuration; 130: told to stop before or (twice)
    during a run; 1: another failure, said in one line."""
    # One thread a network: streams of small calls get slower with more. To be set before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    atexit.register(gc.freeze)  # to look for garbage before the process ends took up to two seconds
    try:
        _log()
        _run()
    except (KeyboardInterrupt, asyncio.CancelledError):  # Ctrl-C before a run, or twice during one
        raise SystemExit(130) from None


def _log() -> None:
    from .errors import ConfigError

    level = os.environ.get("LMAM_LOG", "WARNING").upper()
    if level not in logging.getLevelNamesMapping():
        _fail(ConfigError(f"LMAM_LOG={level}: expected DEBUG, INFO, WARNING or ERROR"), 2)
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")


def _run() -> None:
    from models.checkpoint import CheckpointError

    from .cli import app
    from .errors import ConfigError, StreamerError

    try:
        app()
    except ConfigError as error:
        _fail(error, 2)
    except (StreamerError, CheckpointError) as error:
        _fail(error, 1)
    except BaseExceptionGroup as group:
        known = _known(group, (StreamerError, CheckpointError))
        if known is None:
            raise
        _fail(known, 2 if isinstance(known, ConfigError) else 1)


def _known(group: BaseExceptionGroup[BaseException], kinds: tuple[type[Exception], ...]) -> Exception | None:
    """The first error of ``kinds`` if ``group`` holds no other."""
    _, rest = group.split(kinds)
    if rest is not None:
        return None
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, Exception) else None


def _fail(error: Exception, code: int) -> None:
    sys.stderr.write(f"lmam: {error}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
