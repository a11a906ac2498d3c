"""Names for the cases of the seeded queue in `tests/feedback/data/desk_seed.json`."""

from feedback.cases import case_id_of
from streams.identity import MessageKey


def seed_case_id(message_id: str) -> str:
    """The case of a seeded message; its conversation's id is what stands before the last dash."""
    return case_id_of(MessageKey(message_id.rpartition("-")[0], message_id, ""))
