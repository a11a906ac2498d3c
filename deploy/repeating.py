"""Does something small again and again beside a server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

LONGEST_WAIT_S = 30


@contextmanager
def repeating(task: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """
    Call `task` at once, then every so many seconds while the block runs, and once more at its end.

    What it raises is told in the log, once for each kind in a row, and tried again.
    """
    stop = threading.Event()
    failing = ""

    def once() -> None:
        nonlocal failing
        try:
            task()
            failing = ""
        except Exception as error:  # whatever a store raises, the next call may work
            if type(error).__name__ != failing:
                failing = type(error).__name__
                log.error("repeated_task_failed", task=type(task).__name__, reason=str(error))

    def run() -> None:
        once()
        while not stop.wait(every_s):
            once()
        once()

    thread = threading.Thread(target=run, name="repeating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LONGEST_WAIT_S)
