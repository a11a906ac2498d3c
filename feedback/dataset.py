"""The dataset of a training run: what it holds, how it is split, and a hash that names it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from detectors.domain import Message, Speaker, Turn
from detectors.manifest import Dataset
from feedback.corpus.errors import CorpusError
from feedback.corpus.near_duplicates import NearDuplicates
from feedback.decided import DecidedCase
from feedback.labelled import LabelledTurn
from feedback.masking import mask

Split = Literal["train", "dev", "test"]
Words = tuple[tuple[str, str], ...]

# Writers whose every line is kept for measuring: a model must do well on hands it never saw.
HELD_OUT_WRITERS = frozenset({"w06", "w19", "w21", "w40"})
DEV_SHARE = 12
TEST_SHARE = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A fixed dataset. `test` is the golden set: it never contains reviewers' cases.

    `conflicts` are message ids of cases with the same words and different decisions, `golden_copies`
    those of cases that nearly stand in the golden set: both are in no part.
    """

    train: tuple[LabelledTurn, ...]
    dev: tuple[LabelledTurn, ...]
    test: tuple[LabelledTurn, ...]
    description: Dataset
    conflicts: tuple[str, ...] = ()
    golden_copies: tuple[str, ...] = ()

    @property
    def held_out_cases(self) -> list[LabelledTurn]:
        """The cases that the model of this dataset does not learn from: neither from them nor from others like them."""
        return [row for row in self.dev if row.origin == "case"]


def split_of(row: LabelledTurn) -> Split:
    """
    Which part a turn belongs to: decided by its conversation, and for the corpus by its writer.

    Stable: adding data moves nothing but cases whose copies are learnt from (`build_snapshot`).
    """
    if row.origin == "seed" and row.group in HELD_OUT_WRITERS:
        return "test"
    bucket = bucket_of(row)
    if bucket < DEV_SHARE:
        return "dev"
    return "test" if row.origin == "seed" and bucket < DEV_SHARE + TEST_SHARE else "train"


def bucket_of(row: LabelledTurn) -> int:
    """0 to 99, by a hash of the conversation's id: all turns of a conversation fall into one, whatever else is there."""
    return int(hashlib.sha256(row.turn.message.conversation_id.encode()).hexdigest()[:8], 16) % 100


def training_dialogues(corpus: Iterable[LabelledTurn]) -> list[list[tuple[Speaker, str]]]:
    """The conversations of the training part as plain dialogues, for pre-training."""
    found: dict[str, list[tuple[Speaker, str]]] = defaultdict(list)
    for row in corpus:
        if split_of(row) == "train":
            message = row.turn.message
            found[message.conversation_id].append((message.speaker, message.text))
    return list(found.values())


def from_case(case: DecidedCase) -> LabelledTurn:
    """
    A reviewer's decision as a labelled turn, masked. Offsets stay true: masking keeps lengths.

    Its evidence is the machine's, and unknown as a whole where that has none for one of the labels: the
    reviewer who added this one did not say where it stands, and it is not where the others do.
    """
    turn = Turn(_masked(case.message), tuple(_masked(message) for message in case.before))
    kept = [finding for finding in case.verdict.findings if finding.label in case.labels and finding.evidence]
    located = {finding.label for finding in kept} == case.labels
    return LabelledTurn(
        turn=turn,
        labels=frozenset(case.labels),
        evidence=tuple((item.start, item.end) for finding in kept for item in finding.evidence)
        if located
        else (),
        tags=(f"decision:{case.action}",),
        group=case.reviewer,
        origin="case",
    )


def _masked(message: Message) -> Message:
    return replace(message, text=mask(message.text), customer_id=None, advisor_id=None, attributes={})


def build_snapshot(
    corpus: Iterable[LabelledTurn], cases: Iterable[LabelledTurn], labels: Sequence[str]
) -> Snapshot:
    """
    Split and name the data.

    Messages that nearly stand in the golden set too are left out of the other parts, cases among them, and
    out of the training part those of the corpus that stand in dev.
    A case that a reviewer decided takes the place of the same words in the same
    context in the corpus, but never in the golden set. Where one pitch went to many customers, its cases
    lie on both sides of the split: then all of them are learnt from, and what is like them in dev gives way.
    Cases that contradict each other are left out and named: the desk has to settle them.
    Raises CorpusError for labels that the catalogue does not know, and for a corpus that contradicts itself.
    """
    corpus = list(corpus)
    _check_agrees(corpus)
    agreed, conflicts = _without_conflicts(cases)
    decided = {_words(row) for row in agreed}
    kept = [row for row in corpus if split_of(row) == "test" or _words(row) not in decided]
    parts, golden_copies = _apart(kept, agreed)
    rows = [row for part in parts.values() for row in part]
    unknown = sorted({label for row in rows for label in row.labels} - set(labels))
    if unknown:
        raise CorpusError(f"labels that the catalogue does not know: {', '.join(unknown)}")
    conversations = {row.turn.message.conversation_id for row in rows}
    description = Dataset(
        hash=_hash(rows),
        conversations=len(conversations),
        messages=len(rows),
        violations=sum(bool(row.labels) for row in rows),
        sources=dict(sorted(Counter(f"{row.origin}:{row.group}" for row in rows).items())),
    )
    return Snapshot(
        tuple(parts["train"]),
        tuple(parts["dev"]),
        tuple(parts["test"]),
        description,
        conflicts,
        tuple(row.turn.message.message_id for row in golden_copies),
    )


def _apart(
    corpus: Sequence[LabelledTurn], cases: Sequence[LabelledTurn]
) -> tuple[dict[Split, list[LabelledTurn]], list[LabelledTurn]]:
    """
    The parts without what nearly stands in one that measures them.

    The golden set measures both others; dev measures train: its corpus what is learnt of the corpus, its cases
    what is learnt of cases. Also gives the cases that nearly stand in the golden set, which are in no part.
    """
    split = _split(corpus)
    golden, dev = _texts(split["test"]), _texts(split["dev"])
    copies = [row for row in cases if golden.has(row.turn.message.text)]
    left_out = {id(row) for row in copies}
    decided = _split(row for row in cases if id(row) not in left_out)
    taught, held = _with_copies(decided["train"], decided["dev"])
    learnt = _texts(taught)
    parts: dict[Split, list[LabelledTurn]] = {
        "train": [
            *(row for row in split["train"] if not _stands_in(row, golden, dev)),
            *taught,
        ],
        "dev": [
            *(row for row in split["dev"] if not _stands_in(row, golden, learnt)),
            *held,
        ],
        "test": split["test"],
    }
    return parts, copies


def _with_copies(
    taught: Sequence[LabelledTurn], held: Sequence[LabelledTurn]
) -> tuple[list[LabelledTurn], list[LabelledTurn]]:
    """
    The cases to learn from with all that are like them, and like those in turn; and what is left to measure on.

    Not the other way round: the more customers a pitch went to, the surer it would be of never being learnt.
    """
    learnt, left = list(taught), list(held)
    joined: Sequence[LabelledTurn] = learnt
    while joined and left:
        known = _texts(joined)
        like = {id(row) for row in left if known.has(row.turn.message.text)}
        joined = [row for row in left if id(row) in like]
        learnt += joined
        left = [row for row in left if id(row) not in like]
    return learnt, left


def _split(rows: Iterable[LabelledTurn]) -> dict[Split, list[LabelledTurn]]:
    parts: dict[Split, list[LabelledTurn]] = {"train": [], "dev": [], "test": []}
    for row in rows:
        parts[split_of(row)].append(row)
    return parts


def _texts(rows: Iterable[LabelledTurn]) -> NearDuplicates:
    return NearDuplicates(dict.fromkeys(row.turn.message.text for row in rows))


def _stands_in(row: LabelledTurn, *known: NearDuplicates) -> bool:
    return any(texts.has(row.turn.message.text) for texts in known)


def _check_agrees(corpus: Sequence[LabelledTurn]) -> None:
    """Raises CorpusError for the same words in the same context with different labels."""
    first: dict[Words, LabelledTurn] = {}
    for row in corpus:
        other = first.setdefault(_words(row), row)
        if other.labels != row.labels:
            raise CorpusError(
                f"{other.turn.message.message_id} and {row.turn.message.message_id} say the same after the same "
                f"messages, but the one carries {_named(other)}, the other {_named(row)}: settle it in the corpus"
            )


def _named(row: LabelledTurn) -> str:
    return ", ".join(sorted(row.labels)) or "no label"


def _without_conflicts(cases: Iterable[LabelledTurn]) -> tuple[list[LabelledTurn], tuple[str, ...]]:
    by_words: dict[Words, list[LabelledTurn]] = defaultdict(list)
    for case in cases:
        by_words[_words(case)].append(case)
    agreed: list[LabelledTurn] = []
    conflicts: list[str] = []
    for same in by_words.values():
        if len({case.labels for case in same}) == 1:
            agreed.extend(same)
        else:
            conflicts.extend(case.turn.message.message_id for case in same)
    return agreed, tuple(conflicts)


def _words(row: LabelledTurn) -> Words:
    return tuple((message.speaker.value, message.text) for message in (*row.turn.before, row.turn.message))


def _record(row: LabelledTurn) -> dict[str, object]:
    return {
        "message_id": row.turn.message.message_id,
        "conversation_id": row.turn.message.conversation_id,
        "speaker": row.turn.message.speaker.value,
        "text": row.turn.message.text,
        "before": [[message.speaker.value, message.text] for message in row.turn.before],
        "labels": sorted(row.labels),
        "evidence": [list(span) for span in row.evidence],
        "tags": list(row.tags),
        "group": row.group,
        "origin": row.origin,
    }


def _hash(rows: Sequence[LabelledTurn]) -> str:
    lines = sorted(orjson.dumps(_record(row), option=orjson.OPT_SORT_KEYS) for row in rows)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def write_snapshot(snapshot: Snapshot, folder: Path) -> Path:
    """Write the data beside its description into `folder/HASH`, for audit; returns that folder."""
    target = folder / snapshot.description.hash[:16]
    target.mkdir(parents=True, exist_ok=True)
    for name in ("train", "dev", "test"):
        rows: tuple[LabelledTurn, ...] = getattr(snapshot, name)
        (target / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(_record(row)) + b"\n" for row in rows))
    (target / "dataset.json").write_bytes(
        orjson.dumps(snapshot.description.model_dump(), option=orjson.OPT_INDENT_2)
    )
    return target
