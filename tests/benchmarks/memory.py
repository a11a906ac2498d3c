"""Peak memory of the real command, by the number of messages."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from tests.benchmarks.messages import write_messages

# As a scorer is installed: spaCy loads torch where it finds it, which a scorer has not (half a gigabyte).
AS_SCORER = "import sys; sys.modules['torch'] = None; from deploy.cli.main import main; main()"
ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY_S = 0.2
# ru_maxrss is in KiB on Linux, in bytes on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """What one run of `redline scan` needed."""

    messages: int
    peak_bytes: int
    wall_s: float
    last_line: str


def peak_of_scan(number: int, folder: Path, on_progress: Callable[[str, int], None]) -> PeakMemory:
    """Generate messages into `folder`, scan them with the rules alone into a file beside them, clean up."""
    source, verdicts = folder / "chats.jsonl", folder / "verdicts.jsonl"
    for written in write_messages(source, number):
        on_progress("writing messages", written)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REDLINE_")}
    environment["PYTHONPATH"] = str(ROOT)
    started = perf_counter()
    with (folder / "stderr.txt").open("w+b") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SCORER, "scan", str(source), "--rules-only", "-o", str(verdicts)],
            stderr=told,
            cwd=folder,
            env=environment,
        )
        peak = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            on_progress("scanning", int(number * _share_read(process.pid, source)))
            peak = max(peak, _peak_so_far(process.pid))
            sleep(LOOK_EVERY_S)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        lines = told.read().decode().strip().splitlines() or [""]
    wall_s = perf_counter() - started
    if process.returncode:
        raise SystemExit(f"redline scan ended with {process.returncode}: {lines[-1]}")
    source.unlink()
    verdicts.unlink()
    return PeakMemory(number, peak or usage.ru_maxrss * RSS_UNIT, wall_s, lines[-1])


def _peak_so_far(pid: int) -> int:
    """Peak of the process itself. Its usage at the end would count what it had of us before its exec."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _share_read(pid: int, source: Path) -> float:
    """How much of the file the process has read; 0 where the system does not tell."""
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if link.readlink() == source:
                info = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text("ascii")
                return int(info.split()[1]) / source.stat().st_size
    except OSError:
        pass
    return 0.0
