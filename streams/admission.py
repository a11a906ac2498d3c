"""What a record must be beside a message that can be read: in the right place, and not from the future."""

from datetime import datetime, timedelta

from detectors.domain import Message
from streams.dead_letters import CLOCK_SKEW, WRONG_KEY
from streams.errors import InvalidMessage

# A wrong time zone is within it.
MAX_AHEAD = timedelta(hours=24)


def refuse_misplaced(key: bytes | None, message: Message) -> None:
    """Raise InvalidMessage where the record would not be judged in its conversation."""
    if key != message.conversation_id.encode():
        detail = (
            "the record's key is not its conversation_id in UTF-8: key by conversation, else its messages "
            "lie on several partitions and are judged without each other"
        )
        raise InvalidMessage(WRONG_KEY, detail, field="conversation_id")


def refuse_future(message: Message, now: datetime) -> None:
    """Raise InvalidMessage where the record would bend the order of its conversation."""
    ahead = message.sent_at - now
    if ahead > MAX_AHEAD:
        detail = (
            f"lies {ahead.days:,} days ahead: set the producer's clock, else it stands behind everything "
            "that is said from now on"
        )
        raise InvalidMessage(CLOCK_SKEW, detail, field="sent_at")
