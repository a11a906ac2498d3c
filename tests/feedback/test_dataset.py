"""The dataset: split by conversation and writer, masked, named by its content."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from detectors.domain import Evidence, Finding, Outcome, Severity, Source, Speaker, Verdict
from feedback.corpus.errors import CorpusError
from feedback.corpus.seed import read_corpus, seed_files
from feedback.dataset import HELD_OUT_WRITERS, build_snapshot, from_case, split_of, write_snapshot
from feedback.decided import DecidedCase
from feedback.labelled import LabelledTurn
from rules.loader import load_pack
from tests.detectors.samples import AT, VERSIONS, turn

LABELS = list(load_pack().catalogue.labels)
CORPUS = list(read_corpus())


def case(text: str, *labels: str, number: int = 1) -> LabelledTurn:
    made = turn(text)
    message = replace(made.message, message_id=f"case{number}", conversation_id=f"conversation{number}")
    return LabelledTurn(replace(made, message=message), frozenset(labels), group="li.na", origin="case")


def test_no_conversation_and_no_held_out_writer_is_in_two_parts() -> None:
    parts: dict[str, set[str]] = defaultdict(set)
    for row in CORPUS:
        parts[row.turn.message.conversation_id].add(split_of(row))
    assert all(len(found) == 1 for found in parts.values())
    assert {"test"} == {split_of(row) for row in CORPUS if row.group in HELD_OUT_WRITERS}


def test_no_violation_of_the_test_part_is_in_the_training_part() -> None:
    parts: dict[str, set[str]] = defaultdict(set)
    for row in CORPUS:
        if row.labels and len(row.turn.message.text) >= 10:
            parts[split_of(row)].add("".join(row.turn.message.text.split()))
    assert set() == parts["train"] & parts["test"]
    assert set() == parts["train"] & parts["dev"]


def test_every_label_is_in_the_corpus_and_customers_carry_none() -> None:
    assert set(LABELS) == {label for row in CORPUS for label in row.labels}
    assert not [row for row in CORPUS if row.turn.message.speaker is Speaker.CUSTOMER and row.labels]


def test_evidence_is_a_span_of_the_text() -> None:
    for row in CORPUS:
        for start, end in row.evidence:
            assert 0 <= start < end <= len(row.turn.message.text)


def test_the_hash_names_the_content_and_not_the_order() -> None:
    some = CORPUS[:50]
    first = build_snapshot(some, [], LABELS).description.hash
    assert first == build_snapshot(some[::-1], [], LABELS).description.hash
    assert first != build_snapshot(some, [case("保本的", "guaranteed_return")], LABELS).description.hash


def test_reviewed_cases_never_enter_the_golden_set() -> None:
    cases = [case("保本的", "guaranteed_return", number=n) for n in range(60)]
    snapshot = build_snapshot(CORPUS[:50], cases, LABELS)
    assert not [row for row in snapshot.test if row.origin == "case"]
    assert 60 == sum(row.origin == "case" for row in (*snapshot.train, *snapshot.dev))
    assert {"case:li.na": 60} == {
        k: v for k, v in snapshot.description.sources.items() if k.startswith("case")
    }


def test_cases_that_contradict_each_other_are_left_out_and_named() -> None:
    cases = [
        case("保本的", "guaranteed_return"),
        case("保本的", number=2),
        case("稳赚", "implied_guarantee", number=3),
    ]
    snapshot = build_snapshot(CORPUS[:50], cases, LABELS)
    assert ("case1", "case2") == snapshot.conflicts
    assert {"case:li.na": 1} == {
        k: v for k, v in snapshot.description.sources.items() if k.startswith("case")
    }


def test_a_case_takes_the_place_of_the_same_words_in_the_corpus() -> None:
    row = next(row for row in CORPUS if split_of(row) == "train" and row.labels)
    decided = replace(row, labels=frozenset(), evidence=(), origin="case", group="li.na")
    snapshot = build_snapshot([*CORPUS[:400], row], [decided], LABELS)
    same = [found for found in (*snapshot.train, *snapshot.dev) if found.turn == row.turn]
    assert [frozenset()] == [found.labels for found in same]


def sent(text: str, count: int, *labels: str) -> list[LabelledTurn]:
    """One pitch to many customers, as cases."""
    return [case(text.replace("您", f"您{number}", 1), *labels, number=number) for number in range(count)]


def test_a_case_that_nearly_stands_in_the_golden_set_is_left_out_and_named() -> None:
    golden = next(row for row in CORPUS if split_of(row) == "test" and len(row.turn.message.text) > 30)
    copies = sent(golden.turn.message.text + "您", 20, "guaranteed_return")
    own = case("这款理财到期本金利息一分不少，您放心买", "guaranteed_return", number=99)
    snapshot = build_snapshot([*CORPUS[:50], golden], [*copies, own], LABELS)
    assert [row.turn.message.message_id for row in copies] == list(snapshot.golden_copies)
    assert [own] == [row for row in (*snapshot.train, *snapshot.dev) if row.origin == "case"]


def test_what_is_held_out_is_unlike_what_is_learnt() -> None:
    pitch = "王姐您这款到期连本带利一分都不会少，我拿自己工资给您垫"
    # The corpus has nearly the same in dev: that gives way, not the reviewers' decision.
    row = next(
        row for row in CORPUS if split_of(row) == "dev" and row.turn.message.speaker is Speaker.ADVISOR
    )
    message = replace(row.turn.message, text=pitch.replace("王", "李"))
    near = LabelledTurn(replace(row.turn, message=message), frozenset({"guaranteed_return"}), origin="seed")
    cases = sent(pitch, 60, "guaranteed_return")
    assert {"train", "dev"} == {split_of(row) for row in cases}
    alone = in_part("dev", "明年一月这只一定翻倍，您看着吧，错不了", "performance_forecast")
    snapshot = build_snapshot([*CORPUS[:50], near], [*cases, alone], LABELS)
    assert 60 == sum(row.origin == "case" for row in snapshot.train)
    assert [alone] == snapshot.held_out_cases
    assert near not in snapshot.dev


def in_part(part: str, text: str, *labels: str) -> LabelledTurn:
    """A case of some conversation that lies in this part."""
    made = (case(text, *labels, number=number) for number in range(100, 300))
    return next(row for row in made if split_of(row) == part)


def test_a_copy_of_a_copy_is_learnt_from_too() -> None:
    """A pitch that was changed a little for each customer: the last is like the second, not like the first."""
    pitch = "张总我跟您说句实在话，这只产品年底前净值肯定破二，现在犹豫的客户到时候都得后悔，名额给您留到周五，别跟家里人商量了直接签"
    first, second, last = pitch[:40], pitch[5:45], pitch[10:50]
    cases = [
        in_part("train", first, "performance_forecast"),
        in_part("dev", second, "performance_forecast"),
        in_part("dev", last, "performance_forecast"),
    ]
    snapshot = build_snapshot(CORPUS[:50], cases, LABELS)
    assert [] == snapshot.held_out_cases
    without_the_link = build_snapshot(CORPUS[:50], [cases[0], cases[2]], LABELS)
    assert [cases[2]] == without_the_link.held_out_cases


def reviewed(
    labels: set[str], found: dict[str, tuple[tuple[int, int], ...]], text: str = "保本的，另外去年排名第一"
) -> LabelledTurn:
    """A message that a reviewer gave `labels`, after the machine had `found` some at these places."""
    findings = tuple(
        Finding(
            label,
            Severity.HIGH,
            0.9,
            (Source("model", "m", "1"),),
            tuple(Evidence(start, end, text[start:end]) for start, end in spans),
        )
        for label, spans in found.items()
    )
    message = turn(text).message
    verdict = Verdict(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        outcome=Outcome.FLAGGED,
        findings=findings,
        priority=50,
        degraded=False,
        queue_reasons=("flagged",),
        versions=VERSIONS,
        detected_at=AT,
        latency_ms=1.0,
    )
    return from_case(DecidedCase("c", message, (), verdict, "relabel", frozenset(labels), "li.na", AT, ""))


@pytest.mark.parametrize(
    ("labels", "found", "evidence"),
    [
        ({"a"}, {"a": ((0, 2),)}, ((0, 2),)),
        ({"a", "b"}, {"a": ((0, 2),), "b": ((6, 12),)}, ((0, 2), (6, 12))),
        ({"a"}, {"a": ((0, 2),), "b": ((6, 12),)}, ((0, 2),)),
        ({"a", "b"}, {"a": ((0, 2),)}, ()),
        ({"a", "b"}, {"a": ((0, 2),), "b": ()}, ()),
        ({"b"}, {"a": ((0, 2),)}, ()),
        (set(), {"a": ((0, 2),)}, ()),
    ],
    ids=["confirmed", "both", "one taken away", "one added", "one without a place", "other", "dismissed"],
)
def test_the_evidence_of_a_case_is_known_where_the_machine_has_some_for_each_of_its_labels(
    labels: set[str], found: dict[str, tuple[tuple[int, int], ...]], evidence: tuple[tuple[int, int], ...]
) -> None:
    assert evidence == reviewed(labels, found).evidence


def test_a_label_that_the_catalogue_does_not_know_is_refused() -> None:
    with pytest.raises(CorpusError, match="does not know: nonsense"):
        build_snapshot([], [case("保本的", "nonsense")], LABELS)


def test_a_corpus_that_contradicts_itself_is_refused() -> None:
    one, other = (
        replace(case("到期就是这个数", *labels, number=number), origin="seed")
        for number, labels in ((1, ("guaranteed_return",)), (2, ()))
    )
    with pytest.raises(
        CorpusError, match=r"case1 and case2 .* guaranteed_return, the other no label: settle"
    ):
        build_snapshot([one, other], [], LABELS)


def test_a_snapshot_is_written_under_its_hash(tmp_path: Path) -> None:
    snapshot = build_snapshot(CORPUS[:50], [], LABELS)
    folder = write_snapshot(snapshot, tmp_path)
    assert snapshot.description.hash.startswith(folder.name)
    lines = [
        line
        for name in ("train", "dev", "test")
        for line in (folder / f"{name}.jsonl").read_bytes().splitlines()
    ]
    assert 50 == len(lines)
    assert {"seed"} == {orjson.loads(line)["origin"] for line in lines}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id":"x"', "broken.jsonl:1"),
        (
            '{"id":"x","setting":"s","channel":"c","product_kind":"f","turns":[["c","保本吗",{"labels":["a"],"evidence":["保本"]}]]}',
            "customer's message",
        ),
        (
            '{"id":"x","setting":"s","channel":"c","product_kind":"f","turns":[["a","保本",{"labels":["a"],"evidence":["稳赚"]}]]}',
            "is not in the text",
        ),
        (
            '{"id":"x","setting":"s","channel":"c","product_kind":"f","turns":[["a","保本",{"labels":["a"]}]]}',
            "go together",
        ),
        ('{"id":"x","setting":"s","channel":"c","product_kind":"f","turns":[]}', "turns"),
    ],
)
def test_a_broken_corpus_line_is_told(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(CorpusError, match=words):
        list(read_corpus([path]))


def test_the_corpus_ships() -> None:
    assert 8 <= len(seed_files())
