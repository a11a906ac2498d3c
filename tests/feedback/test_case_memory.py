"""Decisions of the desk become remembered cases."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.case_file import MOST_CASES, encode_cases, read_cases
from detectors.domain import Evidence, Finding, Outcome, Severity, Source, Speaker, Turn, Verdict
from feedback.case_memory import CaseMemoryWriter, remembered, write_if_other
from feedback.cases import CaseFilter, list_cases, open_cases
from feedback.decided import DecidedCase
from feedback.decisions import decide, reopen
from feedback.store.desk_store import open_desk_store
from tests.detectors.samples import AT, VERSIONS, message, turn

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
TEXT = "亏了我补，打我手机13812345678"


def verdict(of: Turn) -> Verdict:
    evidence = (Evidence(0, 4, of.message.text[:4]),)
    finding = Finding("guaranteed_return", Severity.HIGH, 0.9, (Source("rule", "r", "1"),), evidence)
    return Verdict(
        of.message.message_id, of.message.conversation_id, Outcome.FLAGGED, (finding,), 70, False,
        ("flagged",), VERSIONS, AT, 1.0,
    )  # fmt: skip


def decided(text: str, number: int, *labels: str) -> DecidedCase:
    of = turn(text, ("customer", "一"), ("advisor", "二"), ("customer", "三"), ("customer", "四"))
    return DecidedCase(
        f"case-{number}", of.message, of.before, verdict(of), "confirm" if labels else "dismiss",
        frozenset(labels), "li", NOW, "",
    )  # fmt: skip


def test_a_decision_is_remembered_masked_with_its_nearest_context() -> None:
    (case,) = remembered([decided(TEXT, 1, "guaranteed_return")])
    assert ("confirmed", ("guaranteed_return",), ((0, 4),)) == (case.action, case.labels, case.evidence)
    assert ["二", "三", "四", "亏了我补，打我手机00000000000"] == [text for _, text in case.said]
    assert Speaker.ADVISOR is case.said[-1][0]


def test_of_the_same_words_the_later_decision_stands() -> None:
    (case,) = remembered([decided(TEXT, 2), decided(TEXT, 1, "guaranteed_return")])
    assert ("case-2", "dismissed", (), ()) == (case.case_id, case.action, case.labels, case.evidence)


def test_the_oldest_are_forgotten_first_and_not_even_read() -> None:
    newest_first = (decided(f"第{n}条", n, "guaranteed_return") for n in reversed(range(MOST_CASES + 2)))
    kept = remembered(newest_first)
    assert MOST_CASES == len(kept)
    assert ("case-2", f"case-{MOST_CASES + 1}") == (kept[0].case_id, kept[-1].case_id)
    assert ["case-1", "case-0"] == [case.case_id for case in newest_first]


def test_of_long_cases_as_many_are_kept_as_a_reader_takes(tmp_path: Path) -> None:
    longest = "保" * 20_000
    path = tmp_path / "case-memory.jsonl"
    kept = remembered(
        decided(f"{n:03}{longest}"[:20_000], n, "guaranteed_return") for n in reversed(range(300))
    )
    write_if_other(path, kept)
    assert kept == list(read_cases(path).cases)
    assert [f"case-{n}" for n in range(300 - len(kept), 300)] == [case.case_id for case in kept]
    with pytest.raises(ValueError, match="at most"):
        encode_cases([kept[0].model_copy(update={"case_id": "one-more"}), *kept])


@given(st.lists(st.tuples(st.sampled_from(["保本", "亏了我补", "好的", "稳"]), st.booleans()), max_size=12))
def test_what_is_remembered_is_the_last_said_of_each_words_in_order(said: list[tuple[str, bool]]) -> None:
    """Beside the plain way: all decisions from the oldest on, each taking the place of an earlier one."""
    plain: dict[str, str] = {}
    cases = [decided(text, number, *["guaranteed_return"] * yes) for number, (text, yes) in enumerate(said)]
    for case in cases:
        plain.pop(case.message.text, None)
        plain[case.message.text] = case.case_id
    assert list(plain.values()) == [case.case_id for case in remembered(reversed(cases))]


def test_the_file_follows_the_desk(tmp_path: Path) -> None:
    store = open_desk_store(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    path = tmp_path / "models" / "case-memory.jsonl"
    writer = CaseMemoryWriter(store, path)
    try:
        assert not writer()
        assert not path.exists()
        of = Turn(message(TEXT))
        open_cases(store, [(of, verdict(of))], clock=lambda: NOW)
        (case,) = list_cases(store, CaseFilter())
        decide(store, case.case_id, "li", "confirm", clock=lambda: NOW)
        assert writer()
        assert [case.case_id] == [item.case_id for item in read_cases(path).cases]
        assert not writer()
        reopen(store, case.case_id, "li", clock=lambda: NOW)
        assert writer()
        assert () == read_cases(path).cases
        path.write_bytes(b"damaged")
        assert CaseMemoryWriter(store, path)()
        assert () == read_cases(path).cases
    finally:
        store.close()
