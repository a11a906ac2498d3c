"""What happened to models and rule packs: the records of `compliance.models`."""

from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

import orjson

from streams import wire
from streams.errors import InvalidMessage

LedgerKind = Literal["model", "rules"]
_KINDS: dict[str, LedgerKind] = {kind: kind for kind in get_args(LedgerKind)}


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """
    One change of what judges: who did it, when, and why.

    `action` is that of the model store (`added`, `promoted`, `refused`, `rolled_back`), and
    `in_service` for a rule pack that a process began to judge with.
    """

    kind: LedgerKind
    at: datetime
    actor: str
    action: str
    version: str
    previous: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def entry_id(self) -> str:
        """Computed from what it says, so that sending it again is harmless."""
        return sha256(encode_ledger_record(self)).hexdigest()[:32]


def encode_ledger_record(entry: LedgerRecord) -> bytes:
    """JSON for the topic; its key is `entry_id`, for the topic is compacted and every entry is kept."""
    return orjson.dumps({**asdict(entry), "at": entry.at.isoformat()}, option=orjson.OPT_SORT_KEYS)


def decode_ledger_record(raw: bytes | str) -> LedgerRecord:
    """Read what `encode_ledger_record` wrote; unknown fields are passed over. Raises InvalidMessage."""
    record = wire.parse_object(raw)
    kind = _KINDS.get(wire.string(record.get("kind"), "kind"))
    if kind is None:
        raise InvalidMessage("bad_value", f"is none of {', '.join(_KINDS)}", field="kind")
    reasons = wire.sequence(record.get("reasons"), "reasons")
    return LedgerRecord(
        kind=kind,
        at=wire.timestamp(record.get("at"), "at"),
        actor=wire.string(record.get("actor"), "actor"),
        action=wire.string(record.get("action"), "action"),
        version=wire.string(record.get("version"), "version"),
        previous=wire.optional_string(record.get("previous"), "previous"),
        reasons=tuple(wire.string(item, f"reasons[{number}]") for number, item in enumerate(reasons)),
    )
