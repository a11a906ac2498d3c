"""
`redline worker`, sampled: `python -m tests.benchmarks.profiled_worker DIRECTORY`. Where does its time go?

While the file `go` is in the directory, looks every few milliseconds at what the worker's loop and its Kafka
client's thread do; when it is gone, writes the counts to `report.json`. A share is a share of samples, not
of CPU cycles.
"""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from deploy.cli.main import main as redline

EVERY_SEC = 0.004
IDLE_SEC = 0.1
GO, REPORT = "go", "report.json"
OTHER = "other"
WAITS = "waits"
# The first that fits, from the innermost frame outwards.
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (WAITS, ("/selectors.py",)),
    ("classifier", ("/onnxruntime/", "/detectors/classifier", "/detectors/token")),
    ("case memory", ("/detectors/memory", "/detectors/likeness", "/detectors/space")),
    ("rules", ("/rules/", "/detectors/rule_detector", "/re2")),
    ("context", ("/streams/table_context", "/streams/conversation", "/streams/context", "/streams/idle")),
    ("decode and encode", ("/streams/codec", "/streams/wire", "/streams/identity")),
    ("Faust and Kafka client", ("/faust/", "/aiokafka/", "/mode/", "/asyncio/")),
    ("the rest of redline", ("/streams/", "/detectors/", "/deploy/")),
)
CLIENT_THREAD = "/mode/threads.py"


def part_of(frame: FrameType | None) -> str:
    """Which part of the worker a stack is in."""
    while frame is not None:
        file = frame.f_code.co_filename
        for name, places in PARTS:
            if any(place in file for place in places):
                return name
        frame = frame.f_back
    return OTHER


def passes(frame: FrameType | None, place: str) -> bool:
    """Whether a stack has a frame in this file."""
    while frame is not None:
        if place in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def sample(directory: Path) -> None:
    """Count while told to, then write; for a thread of its own."""
    main_thread, own = threading.main_thread().ident, threading.get_ident()
    loop: Counter[str] = Counter()
    client: Counter[str] = Counter()
    while True:
        if (directory / GO).exists():
            for ident, frame in sys._current_frames().items():
                if ident == main_thread:
                    loop[part_of(frame)] += 1
                elif ident != own and passes(frame, CLIENT_THREAD):
                    client[part_of(frame)] += 1
            time.sleep(EVERY_SEC)
        elif loop:
            (directory / REPORT).write_text(json.dumps({"loop": loop, "client": client}), encoding="utf-8")
            loop.clear()
            client.clear()
        else:
            time.sleep(IDLE_SEC)


def main() -> None:
    """Run the worker until a signal comes."""
    directory = Path(sys.argv[1])
    sys.argv = ["redline", "worker"]
    threading.Thread(target=sample, args=(directory,), name="sampler", daemon=True).start()
    redline()


if __name__ == "__main__":
    main()
