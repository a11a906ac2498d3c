"""The model store's ledger in the form in which it is stored and sent."""

from detectors.model_store import ModelStore
from streams.ledger import LedgerRecord


def model_ledger(store: ModelStore) -> list[LedgerRecord]:
    """Everything on record, oldest first."""
    return [
        LedgerRecord(
            "model", entry.at, entry.actor, entry.action, entry.version, entry.previous, entry.reasons
        )
        for entry in store.ledger()
    ]
