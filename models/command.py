"""What the commands ``python -m models...`` share: their log, their progress bar, and how they end."""

from __future__ import annotations

import logging
from collections.abc import Callable

import rich
from rich.logging import RichHandler
from rich.progress import Progress, ProgressColumn

from models.checkpoint import CheckpointError
from models.training.config import RunsFailedError

log = logging.getLogger(__name__)


def run(work: Callable[[], None], stopped: str = "stopped") -> int:
    """``work`` with its log on the terminal; the exit code, after a line that says what went wrong.

    0: done; 1: some of the runs failed; 2: the input is at fault; 130: it was ``stopped`` (Ctrl-C).
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    try:
        work()
    except RunsFailedError as error:
        log.error("%s", error)
        return 1
    except (ValueError, CheckpointError) as error:
        log.error("%s", error)
        return 2
    except KeyboardInterrupt:
        log.warning("%s", stopped)
        return 130
    return 0


def bar(*columns: str | ProgressColumn) -> Progress:
    """On a terminal, below the log, and gone at its end; elsewhere nothing."""
    console = rich.get_console()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
