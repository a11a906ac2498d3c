"""The gate refuses a model that loses something, and says what; chance alone decides nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.evaluation.metrics import Judgement
from feedback.gate import GateDecision, GatePolicy, Judged, decide

LABELS = frozenset({"a", "b"})
NONE = frozenset[str]()


def said(
    found: int, missed: int, false: int = 0, quiet: int = 0, *, label: str = "a", by: str = ""
) -> list[Judgement]:
    """Violations that are found and missed, then compliant messages of which `false` are flagged; one a conversation."""
    gold = frozenset({label})
    rows = [Judgement(f"{by}{label}{n}", gold, gold if n < found else NONE) for n in range(found + missed)]
    rows += [Judgement(f"{by}{label}q{n}", NONE, gold if n < false else NONE) for n in range(quiet)]
    return rows


GOLDEN = said(75, 25, 4, 200)


def gate(
    candidate: list[Judgement],
    serving: list[Judgement],
    cases: tuple[list[Judgement], list[Judgement]] = ([], []),
    knows: frozenset[str] = LABELS,
) -> GateDecision:
    return decide(
        Judged("the candidate", LABELS, candidate, cases[0]),
        [Judged("the model in service", knows, serving, cases[1])],
        policy=GatePolicy(),
    )


def test_an_equal_model_passes_and_says_the_figures() -> None:
    cases = said(9, 1, 3, 5, by="case")
    assert GateDecision(
        True,
        (
            "against the model in service: golden messages judged wrongly 29 → 29 of 300, "
            "golden violations found 75 → 75 of 100, "
            "compliant golden messages flagged 4 → 4 of 200, "
            "confirmed cases found 9 → 9 of 10, dismissed cases flagged 3 → 3 of 5",
        ),
    ) == gate(GOLDEN, GOLDEN, (cases, cases))


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (said(70, 30, 4, 200), "golden violations found 75 → 70 of 100, 5 for the worse; at most 4 pass"),
        (said(70, 30, 4, 200), "golden messages judged wrongly 29 → 34 of 300, 5 for the worse"),
        (said(66, 34, 4, 200), "golden messages with a named so 75 → 66 of 100, 9 for the worse"),
        (said(75, 25, 9, 200), "compliant golden messages flagged 4 → 9 of 200, 5 for the worse"),
    ],
)
def test_a_worse_model_is_refused_with_the_reason(candidate: list[Judgement], words: str) -> None:
    decision = gate(candidate, GOLDEN)
    assert not decision.promoted
    assert any(words in reason for reason in decision.reasons)


@pytest.mark.parametrize("candidate", [said(71, 29, 4, 200), said(75, 25, 8, 200)])
def test_four_messages_are_chance(candidate: list[Judgement]) -> None:
    assert gate(candidate, GOLDEN).promoted


def test_a_conversation_is_one_draw() -> None:
    """Ten flags more in one conversation are one thing that changed, in ten they are ten."""

    def quiet(flagged: int, conversations: int) -> list[Judgement]:
        return [Judgement(f"q{n % conversations}", NONE, LABELS if n < flagged else NONE) for n in range(200)]

    found = said(75, 25)
    assert gate(found + quiet(10, 1), found + quiet(0, 1)).promoted
    assert not gate(found + quiet(10, 200), found + quiet(0, 200)).promoted


def test_a_model_that_flags_none_of_the_cases_is_refused_though_most_were_dismissed() -> None:
    serving = said(40, 0, 60, 60, by="case")
    silent = said(0, 40, 0, 60, by="case")
    decision = gate(GOLDEN, GOLDEN, (silent, serving))
    assert (
        "against the model in service: confirmed cases found 40 → 0 of 40, 40 for the worse; at most 12 pass",
    ) == decision.reasons


def test_a_model_that_learnt_what_was_dismissed_passes() -> None:
    serving = said(40, 0, 60, 60, by="case")
    learnt = said(40, 0, 20, 60, by="case")
    decision = gate(GOLDEN, GOLDEN, (learnt, serving))
    assert decision.promoted
    assert "dismissed cases flagged 60 → 20 of 60" in decision.reasons[0]


def test_a_model_that_flags_more_of_what_was_dismissed_is_refused() -> None:
    decision = gate(GOLDEN, GOLDEN, (said(0, 0, 30, 60, by="case"), said(0, 0, 10, 60, by="case")))
    assert ["dismissed cases flagged 10 → 30 of 60" in reason for reason in decision.reasons] == [True]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=4))
def test_fewer_than_five_cases_never_decide(cases: list[tuple[bool, bool, bool]]) -> None:
    gold = [LABELS if violating else NONE for violating, _, _ in cases]
    one, other = (
        [Judgement(f"case{n}", gold[n], LABELS if row[which] else NONE) for n, row in enumerate(cases)]
        for which in (1, 2)
    )
    assert gate(GOLDEN, GOLDEN, (one, other)).promoted


def test_violations_that_the_other_model_was_never_taught_do_not_count_against_either() -> None:
    """A candidate that lost half of `a` must not make up for it by `b`, which the model in service does not know."""
    serving = said(75, 25, 4, 200) + said(0, 50, label="b")
    candidate = said(40, 60, 4, 200) + said(50, 0, label="b")
    decision = gate(candidate, serving, knows=frozenset({"a", "given up"}))
    assert not decision.promoted
    assert (
        "against the model in service (without violations of b only, which it does not know): "
        "golden violations found 75 → 40 of 100, 35 for the worse; at most 11 pass"
    ) in decision.reasons


def test_the_reference_is_not_asked_about_cases_which_others_flagged() -> None:
    candidate = Judged("the candidate", LABELS, GOLDEN, said(5, 0, 60, 60, by="case"))
    decision = decide(candidate, [Judged("the reference", LABELS, GOLDEN)], policy=GatePolicy())
    assert decision.promoted
    assert "cases" not in decision.reasons[0]


def test_the_candidate_must_stand_against_the_reference_too() -> None:
    """A fourth week of four messages lost: nothing beside last week's model, much beside the one that stands still."""
    weeks = [Judged(f"week {n}", LABELS, said(75 - 4 * n, 25 + 4 * n, 4, 200)) for n in range(4)]
    reference, *_, serving, candidate = weeks
    assert decide(candidate, [serving], policy=GatePolicy()).promoted
    decision = decide(candidate, [serving, reference], policy=GatePolicy())
    assert not decision.promoted
    assert all("against week 0: " in reason for reason in decision.reasons)


@pytest.mark.parametrize("golden", [said(0, 0, 0, 200), said(20, 0)])
def test_a_golden_set_that_says_nothing_promotes_nothing(golden: list[Judgement]) -> None:
    decision = gate(golden, golden)
    assert not decision.promoted
    assert "the golden set says nothing" in decision.reasons[0]


@pytest.mark.parametrize(
    ("found", "flagged", "passes"),
    [
        (-25, 0, True),
        (-26, 0, False),
        (-32, -10, True),
        (-33, -10, False),
        (16, 16, True),
        (16, 17, False),
    ],
)
def test_what_may_be_lost_on_a_golden_set_like_the_one_that_ships(
    found: int, flagged: int, passes: bool
) -> None:
    """The figures of `GatePolicy`, which the guides repeat."""
    candidate = said(1205 + found, 406 - found, 120 + flagged, 5646)
    assert passes == gate(candidate, said(1205, 406, 120, 5646)).promoted
