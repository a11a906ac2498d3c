"""The seeded queue in `tests/feedback/data/desk_seed.json`, and names for its cases."""

from pathlib import Path

import orjson

from feedback.cases import case_id_of
from feedback.snapshot import Snapshot, decode_snapshot
from streams.identity import MessageKey

SEED = Path(__file__).parent / "feedback" / "data" / "desk_seed.json"


def seed_case_id(message_id: str) -> str:
    """The case of a seeded message; its conversation's id is what stands before the last dash."""
    return case_id_of(MessageKey(message_id.rpartition("-")[0], message_id, ""))


def seed_snapshots() -> list[Snapshot]:
    """Eight invented cases."""
    return [decode_snapshot(orjson.dumps(case).decode()) for case in orjson.loads(SEED.read_bytes())["cases"]]
