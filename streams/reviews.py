"""
What reviewers decided, as it leaves the desk: the records of `compliance.reviews`.

No words of a customer are in it, and no note: who may read decisions need not be allowed to
read chats. The desk keeps what was shown; `shown` names it.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

import orjson

from streams import wire
from streams.errors import InvalidMessage

ReviewAction = Literal["confirm", "dismiss", "relabel", "reopen"]
_ACTIONS: dict[str, ReviewAction] = {action: action for action in get_args(ReviewAction)}


@dataclass(frozen=True, slots=True)
class Review:
    """
    One step of one case: a decision, or its withdrawal (`reopen`).

    `seq` is the number of its entry in the desk's audit trail, so the last of a case counts.
    `labels` is what the person says (empty when dismissed), `machine_labels` what the verdict
    said. `catalogue` to `code` are the versions that judged.
    """

    seq: int
    case_id: str
    conversation_id: str
    message_id: str
    content_hash: str
    action: ReviewAction
    labels: tuple[str, ...]
    machine_labels: tuple[str, ...]
    reviewer: str
    at: datetime
    shown: str
    catalogue: str
    pack: str
    model: str | None
    code: str

    @property
    def review_id(self) -> str:
        """Computed from what it says, so that sending it again is harmless."""
        return sha256(encode_review(self)).hexdigest()[:32]


def encode_review(review: Review) -> bytes:
    """JSON for the topic; its key is the conversation."""
    return orjson.dumps({**asdict(review), "at": review.at.isoformat()}, option=orjson.OPT_SORT_KEYS)


def decode_review(raw: bytes | str) -> Review:
    """Read what `encode_review` wrote; unknown fields are passed over. Raises InvalidMessage."""
    record = wire.parse_object(raw)
    action = _ACTIONS.get(wire.string(record.get("action"), "action"))
    if action is None:
        raise InvalidMessage("bad_value", f"is none of {', '.join(_ACTIONS)}", field="action")

    def text(name: str) -> str:
        return wire.string(record.get(name), name)

    return Review(
        seq=wire.integer(record.get("seq"), "seq"),
        case_id=wire.identifier(record.get("case_id"), "case_id"),
        conversation_id=wire.identifier(record.get("conversation_id"), "conversation_id"),
        message_id=wire.identifier(record.get("message_id"), "message_id"),
        content_hash=text("content_hash"),
        action=action,
        labels=_strings(record.get("labels"), "labels"),
        machine_labels=_strings(record.get("machine_labels"), "machine_labels"),
        reviewer=text("reviewer"),
        at=wire.timestamp(record.get("at"), "at"),
        shown=text("shown"),
        catalogue=text("catalogue"),
        pack=text("pack"),
        model=wire.optional_string(record.get("model"), "model"),
        code=text("code"),
    )


def _strings(value: object, field: str) -> tuple[str, ...]:
    items = wire.sequence(value, field)
    return tuple(wire.string(item, f"{field}[{number}]") for number, item in enumerate(items))
