"""A server process that leaves a note of itself, so that another command can find and stop it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rules.errors import RedlineError

STOP_TIMEOUT_SEC = 20.0
POLL_INTERVAL_SEC = 0.05
LOG_TAIL_LINES = 25


class ServiceError(RedlineError):
    """A development service cannot start. The message ends with what to do."""


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """
    A server's process and the file that remembers it.

    `started` is the kernel's start tick of `pid`: a number that was given to
    another process later is never mistaken for ours.
    """

    pid: int
    started: int
    ports: dict[str, int]
    log: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _start_tick(self.pid) == self.started

    def stop(self, *, timeout_sec: float = STOP_TIMEOUT_SEC) -> None:
        """End the process: asks first, kills past the limit. Does nothing when it has ended."""
        for ask, limit_sec in ((signal.SIGTERM, timeout_sec), (signal.SIGKILL, STOP_TIMEOUT_SEC)):
            if not self.alive():
                return
            try:
                os.kill(self.pid, ask)
            except ProcessLookupError:
                return
            wait_until(lambda: not self.alive(), timeout_sec=limit_sec)
        if self.alive():
            raise ServiceError(f"process {self.pid} does not end; its log is {self.log}")


def spawn(
    command: Sequence[str],
    *,
    directory: Path,
    name: str,
    ports: dict[str, int],
    env: dict[str, str] | None = None,
) -> RunningProcess:
    """Start `command` in its own session, log to `directory/name.log`, note it in `directory/name.json`."""
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            list(command),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if env is None else {**os.environ, **env},
        )
    _CHILDREN[process.pid] = process
    running = RunningProcess(process.pid, _start_tick(process.pid) or 0, ports, str(log))
    (directory / f"{name}.json").write_text(json.dumps(asdict(running)), encoding="utf-8")
    return running


def recall(directory: Path, name: str) -> RunningProcess | None:
    """The process noted in `directory`, or None when none was started there or it has ended."""
    note = directory / f"{name}.json"
    if not note.exists():
        return None
    running = RunningProcess(**json.loads(note.read_text(encoding="utf-8")))
    return running if running.alive() else None


def wait_until(ready: Callable[[], bool], *, timeout_sec: float) -> bool:
    """Poll `ready` until it is true; false when the time is over."""
    deadline = time.monotonic() + timeout_sec
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_SEC)
    return True


def wait_for_port(running: RunningProcess, port: int, *, what: str, timeout_sec: float) -> None:
    """Return once `port` answers; raises with the end of the log when the process ends or is too slow."""
    answered = wait_until(lambda: not running.alive() or accepts(port), timeout_sec=timeout_sec)
    if answered and running.alive():
        return
    problem = "did not answer in time" if running.alive() else "ended at once"
    running.stop()
    raise ServiceError(f"{what} {problem}; the end of {running.log}:\n{tail(Path(running.log))}")


def accepts(port: int) -> bool:
    """Whether something on loopback takes connections on `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def refuse_taken_port(port: int, *, what: str) -> None:
    """Raise when `port` is somebody else's: waiting for it would find the wrong server."""
    if accepts(port):
        raise ServiceError(
            f"{what} cannot start: port {port} is taken. Stop what uses it: ss -ltnp 'sport = {port}'"
        )


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; all are held until the last is found, so none comes twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def find_program(*names: str, places: Sequence[Path] = ()) -> str | None:
    """The first of `names` on the PATH or in `places`."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
        for place in places:
            if (place / name).exists():
                return str(place / name)
    return None


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])


# Popen objects of this process: polling one of them reaps it, or it would stay a zombie that looks alive.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def _start_tick(pid: int) -> int | None:
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":  # it ended since the poll above; reap it
        if child is not None:
            child.wait()
        return None
    return int(fields[19])
