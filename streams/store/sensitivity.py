"""How sensitive each stored column is: for access rights, exports and the data protection officer."""

from collections.abc import Mapping
from typing import Literal

Sensitivity = Literal["words", "personal", "internal", "technical"]

MEANINGS: Mapping[Sensitivity, str] = {
    "words": "what a customer or an advisor said, whole or in part",
    "personal": "names a customer, an advisor or a reviewer, or leads to one",
    "internal": "the firm's own: what was found, decided and by which versions",
    "technical": "places, times and sizes that say nothing of a person",
}

_KEY: Mapping[str, Sensitivity] = {
    "conversation_id": "personal",
    "message_id": "personal",
    # The digest of a short text can be guessed by trying.
    "content_hash": "words",
}
_ORIGIN: Mapping[str, Sensitivity] = {
    "topic": "technical",
    "partition_no": "technical",
    "offset_no": "technical",
}
_VERSIONS: Mapping[str, Sensitivity] = {"catalogue": "internal", "pack": "internal", "model": "internal"}

COLUMNS: Mapping[str, Mapping[str, Sensitivity]] = {
    "messages": {
        **_KEY,
        "sent_at": "personal",
        "sent_us": "personal",
        "seq": "technical",
        "speaker": "internal",
        "channel": "internal",
        "language": "internal",
        "advisor_id": "personal",
        "customer_id": "personal",
        "branch": "internal",
        "product_code": "internal",
        "text": "words",
        "rest": "personal",
        **_ORIGIN,
        "stored_us": "technical",
        "precedence": "technical",
    },
    "verdicts": {
        **_KEY,
        "detected_at": "technical",
        "version": "technical",
        "outcome": "internal",
        "priority": "internal",
        "degraded": "internal",
        "needs_review": "internal",
        "queue_reasons": "internal",
        "findings.label": "internal",
        "findings.severity": "internal",
        "findings.score": "internal",
        "sources.label": "internal",
        "sources.kind": "internal",
        "sources.id": "internal",
        "sources.version": "internal",
        **_VERSIONS,
        "latency_ms": "technical",
        # Evidence quotes the text.
        "body": "words",
        **_ORIGIN,
        "stored_us": "technical",
    },
    "reviews": {
        "review_id": "technical",
        "seq": "technical",
        "case_id": "personal",
        **_KEY,
        "action": "internal",
        "labels": "internal",
        "machine_labels": "internal",
        "reviewer": "personal",
        "decided_at": "internal",
        "at_us": "internal",
        "shown": "technical",
        **_VERSIONS,
        "code": "internal",
        "stored_us": "technical",
    },
    "ledger": {
        "entry_id": "technical",
        "kind": "internal",
        "at_us": "internal",
        "actor": "personal",
        "action": "internal",
        "version": "internal",
        "previous": "internal",
        "reasons": "internal",
        "stored_us": "technical",
    },
    "dead_letter_events": {
        **_ORIGIN,
        "status": "internal",
        "at_us": "technical",
        "reason": "internal",
        # Names fields and ids that were refused, never a text.
        "detail": "personal",
        "stack_digest": "technical",
        "size": "technical",
        "sha256": "technical",
        "complete": "technical",
        "actor": "personal",
        "why": "internal",
        "stored_us": "technical",
    },
    "review_queue": {**_ORIGIN, **_KEY, "detected_at": "technical"},
}
