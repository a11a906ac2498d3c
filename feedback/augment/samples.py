"""The list of new samples in a model folder: a model owner can read each of them beside what it was made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from feedback.augment.rewrite import PARENT_TAG, SOURCE_TAG, parent_of, source_of
from feedback.labelled import LabelledTurn

SAMPLES_FILE = "samples.jsonl"
Key = tuple[str, str]


def write_samples(path: Path, samples: Sequence[LabelledTurn], rows: Sequence[LabelledTurn]) -> None:
    """
    One line of JSON for each sample, with source, parent, labels, and the words of both; sorted by id.

    `rows` are those that they were made of. A model folder is copied about: of samples made of
    reviewers' cases the words, which are customers', are left out (null), as are the parent's.
    One that is repeated to weigh more has one line.
    """
    parents = {_key(row): row.turn.message.text for row in rows}
    lines = {_key(row): orjson.dumps(_record(row, parents)) + b"\n" for row in samples}
    path.write_bytes(b"".join(lines[key] for key in sorted(lines)))


def _key(row: LabelledTurn) -> Key:
    return row.turn.message.conversation_id, row.turn.message.message_id


def _record(row: LabelledTurn, parents: Mapping[Key, str]) -> dict[str, object]:
    message, parent = row.turn.message, parent_of(row)
    public = row.origin == "seed"
    return {
        "message_id": message.message_id,
        "source": source_of(row),
        "parent": parent,
        "conversation_id": message.conversation_id,
        "speaker": message.speaker.value,
        "text": message.text if public else None,
        "parent_text": parents.get((message.conversation_id, parent or "")) if public else None,
        "labels": sorted(row.labels),
        "evidence": [list(span) for span in row.evidence],
        "tags": [tag for tag in row.tags if not tag.startswith((PARENT_TAG, SOURCE_TAG))],
        "origin": row.origin,
    }
