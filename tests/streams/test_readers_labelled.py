"""Labelled files for evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.readers.base import BadRecord
from streams.readers.labelled import Labelled, read_labelled

WIRE: dict[str, Any] = {
    "message_id": "m1",
    "conversation_id": "c1",
    "sent_at": "2025-03-01T09:30:00+08:00",
    "speaker": "advisor",
    "text": "😀这款保本的",
    "labels": ["guaranteed_return"],
}


def read(tmp_path: Path, **changes: Any) -> Labelled | BadRecord:
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps({**WIRE, **changes}), encoding="utf-8")
    (record,) = read_labelled(path)
    return record


@pytest.mark.parametrize(
    "item", [[3, 5], {"start": 3, "end": 5}, {"start": 3, "end": 5, "text": "保本"}, "保本", {"text": "保本"}]
)
def test_evidence_forms_give_code_point_spans(tmp_path: Path, item: object) -> None:
    record = read(tmp_path, evidence=[item], tags=["direct"])
    assert isinstance(record, Labelled)
    assert (record.labels, record.evidence, record.tags) == (
        frozenset({"guaranteed_return"}),
        ((3, 5),),
        ("direct",),
    )
    assert record.message.attributes == {}


def test_customer_needs_no_labels(tmp_path: Path) -> None:
    record = read(tmp_path, speaker="customer", labels=None)
    assert isinstance(record, Labelled)
    assert (record.labels, record.evidence, record.tags) == (frozenset(), None, ())


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"labels": None}, "missing_field", "labels"),
        ({"labels": "guaranteed_return"}, "wrong_type", "labels"),
        ({"speaker": "customer"}, "bad_value", "labels"),
        ({"labels": [1]}, "wrong_type", "labels[0]"),
        ({"evidence": "保本"}, "wrong_type", "evidence"),
        ({"evidence": [[3, 99]]}, "bad_evidence", "evidence[0]"),
        ({"evidence": [[3, 3]]}, "bad_evidence", "evidence[0]"),
        ({"evidence": [[3, 4, 5]]}, "wrong_type", "evidence[0]"),
        ({"evidence": ["刚兑"]}, "bad_evidence", "evidence[0]"),
        ({"evidence": [""]}, "bad_evidence", "evidence[0]"),
        ({"evidence": [{"start": 4, "end": 6, "text": "保本"}]}, "bad_evidence", "evidence[0]"),
        ({"evidence": [{"start": 4}]}, "wrong_type", "evidence[0].end"),
        ({"speaker": "x"}, "unknown_speaker", "speaker"),
    ],
)
def test_wrong_labels_name_the_field(
    tmp_path: Path, changes: dict[str, Any], reason: str, field: str
) -> None:
    record = read(tmp_path, **changes)
    assert isinstance(record, BadRecord)
    assert (reason, field, 1) == (record.reason, record.field, record.line)
