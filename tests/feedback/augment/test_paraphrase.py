"""A language model says messages anew: what goes out, which answers hold, and what happens without one."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.domain import Product, Speaker, Turn
from detectors.judge import Request
from feedback.augment.expand import counted, expanded
from feedback.augment.paraphrase import RewriteRefused, may_be_said_anew, read, request
from feedback.augment.rewrite import parent_of, source_of
from feedback.augment.rewriter import MOST_FAILURES, LlmRewriter, RewriterFailed
from feedback.labelled import LabelledTurn
from streams.errors import EndpointError
from tests.feedback.evaluation.systems import row

PROMISE = "这只基金您尽管买，3年下来稳稳翻一番"
QUOTE = "稳稳翻一番"
DENIAL = "您要的8%我没法答应，收益谁也说不准"


def violation(
    text: str = PROMISE, quote: str = QUOTE, *, number: int = 1, tags: tuple[str, ...] = ()
) -> LabelledTurn:
    start = text.index(quote)
    return seed(
        replace(row(text, "performance_forecast"), evidence=((start, start + len(quote)),)), number, tags
    )


def hard_negative(text: str = DENIAL, *, number: int = 1, tags: tuple[str, ...] = ()) -> LabelledTurn:
    return seed(row(text), number, ("hard:refusal", *tags))


def seed(item: LabelledTurn, number: int, tags: tuple[str, ...]) -> LabelledTurn:
    message = replace(
        item.turn.message,
        message_id=f"w01-{number}",
        conversation_id=f"w01-{number}",
        product=Product(kind="fund"),
    )
    return replace(item, turn=Turn(message, item.turn.before), tags=tags, origin="seed", group="w01")


def answer(text: str, *evidence: str) -> str:
    return json.dumps({"text": text, "evidence": list(evidence)})


def refused(item: LabelledTurn, said: str) -> str:
    with pytest.raises(RewriteRefused) as caught:
        read(item, said)
    assert item.turn.message.text not in str(caught.value)
    return caught.value.reason


def test_a_message_said_anew_keeps_label_and_has_its_evidence_in_the_new_words() -> None:
    new = read(violation(), answer("哥，放心拿住，3年准能给您变成两倍", "准能给您变成两倍"))
    (span,) = new.evidence
    assert "准能给您变成两倍" == new.turn.message.text[slice(*span)]
    assert frozenset({"performance_forecast"}) == new.labels
    assert ("w01-1", "paraphrase") == (parent_of(new), source_of(new))


def test_a_hard_negative_said_anew_is_compliant() -> None:
    new = read(hard_negative(), answer("年化8%这事我不敢应承，能挣几个点没人拿得准"))
    assert (frozenset(), ()) == (new.labels, new.evidence)
    assert "hard:refusal" in new.tags


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("好的，改写如下", "form"),
        ("[]", "form"),
        (answer("哥，放心拿住，3年准能给您变成两倍", "翻一番"), "evidence"),
        (answer("哥，放心拿住，3年准能给您变成两倍"), "evidence"),
        (answer("哥，放心拿住，3年准能给您变成两倍", "放心", "准能"), "evidence"),
        (answer("哥，放心拿住，3年准能准能给您变成两倍", "准能"), "evidence"),
        (answer("哥，放心拿住，3年准能给您变成两倍", "倍"), "evidence"),
        (answer(PROMISE, QUOTE), "same"),
        (answer("您好，" + PROMISE + "哈", QUOTE), "same"),
        (answer("这只基金你尽管买3年下来稳稳翻一番", "稳稳翻一番"), "same"),
        (answer("翻一番", "翻一番"), "length"),
        (answer("好" * 200 + "翻一番", "翻一番"), "length"),
        (answer("哥，放心拿住，5年准能给您变成两倍", "准能"), "figures"),
        (answer("哥，放心拿住，准能给您变成两倍", "准能"), "figures"),
        (answer("哥，放心拿住，3年不见得给您变成两倍", "变成两倍"), "negation"),
        (answer("哥，这股票放心拿，3年准能给您变成两倍", "准能"), "topic"),
        (answer("哥，去年放心拿住，3年已经给您变成两倍", "两倍"), "topic"),
        (answer("哥，放心拿住\u202e，3年准能给您变成两倍", "准能"), "characters"),
    ],
)  # fmt: skip
def test_an_answer_in_doubt_is_refused_with_its_reason(said: str, reason: str) -> None:
    assert reason == refused(violation(), said)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer("年化8%这事包在我身上，保您拿得稳稳当当"), "negation"),
        (answer("年化8%这事我不敢应承，不过稳赚是肯定的"), "watched"),
        (answer("年化8%这事我不敢应承，没人拿得准", "不敢"), "evidence"),
        (answer("年化9%这事我不敢应承，没人拿得准"), "figures"),
    ],
)
def test_a_compliant_message_does_not_become_a_promise(said: str, reason: str) -> None:
    assert reason == refused(hard_negative(), said)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_whatever_is_answered_holds_or_is_refused(said: str) -> None:
    try:
        new = read(violation(), said)
    except RewriteRefused:
        return
    assert new.turn.message.text[slice(*new.evidence[0])]


def test_the_model_is_told_the_message_alone_and_who_shall_say_it() -> None:
    item = violation()
    asked = replace(item, turn=Turn(item.turn.message, (row("我身份证号是多少").turn.message,)))
    body: Any = request(asked, random.Random(1), model="qwen")
    told = orjson.loads(body["messages"][1]["content"])
    assert (PROMISE, [QUOTE], "violating") == (told["text"], told["evidence"], told["verdict"])
    assert all(told["as"].values())
    assert "身份证" not in str(body)
    assert "qwen" == body["model"]
    assert body == request(asked, random.Random(1), model="qwen")


@pytest.mark.parametrize(
    "item",
    [
        violation(tags=("context",)),
        hard_negative(tags=("multi_message",)),
        seed(row("今天天气真好啊"), 1, ()),
        seed(row("保本的", "guaranteed_return"), 1, ()),
        seed(row("我想买点能保本的", speaker=Speaker.CUSTOMER.value), 1, ("hard:negation",)),
        hard_negative("长" * 500),
    ],
)
def test_only_what_stands_by_itself_is_asked_about(item: LabelledTurn) -> None:
    assert not may_be_said_anew(item)


class Model:
    """An endpoint in memory."""

    def __init__(self, says: Callable[[dict[str, Any]], str]) -> None:
        self.says = says
        self.told: list[dict[str, Any]] = []

    def complete(self, asked: Request) -> str:
        messages: Any = asked["messages"]
        self.told.append(orjson.loads(messages[1]["content"]))
        return self.says(self.told[-1])


def rewriter(model: Model, waits: list[float] | None = None) -> LlmRewriter:
    return LlmRewriter(
        model,
        model="qwen",
        per_minute=60,
        wait=(waits if waits is not None else []).append,
        time_sec=lambda: 0.0,
    )


def good(told: dict[str, Any]) -> str:
    if told["verdict"] == "violating":
        return answer("哥，放心拿住，3年准能给您变成两倍", "准能给您变成两倍")
    return answer("年化8%这事我不敢应承，能挣几个点没人拿得准")


def failing(told: dict[str, Any]) -> str:
    raise EndpointError("llm:8000 cannot be reached (ConnectError)", kind="unreachable", retryable=True)


ROWS = [violation(number=number) for number in range(8)] + [
    hard_negative(number=number) for number in range(8, 16)
]


def made_by(model: Model | None, rows: list[LabelledTurn], said: list[str]) -> list[LabelledTurn]:
    asks = rewriter(model) if model else None
    return expanded(rows, ["paraphrase"], share=1.0, seed=1, rewriter=asks, say=said.append)


def test_both_classes_are_said_anew_and_what_is_refused_is_counted_and_left_out() -> None:
    said: list[str] = []
    model = Model(lambda told: good(told) if told["verdict"] == "violating" else answer("年化8%保您拿得稳"))
    made = made_by(model, ROWS, said)
    assert 16 == len(model.told)
    assert {"paraphrase": 1} == counted(made)  # all eight say the same
    assert ["paraphrase: 8 kept, 8 negation"] == said


def test_a_reviewers_case_never_goes_out() -> None:
    said: list[str] = []
    model = Model(good)
    cases = [replace(item, origin="case") for item in ROWS]
    made = made_by(model, cases, said)
    assert [] == model.told
    assert {"slots", "register"} >= set(counted(made))
    with pytest.raises(ValueError, match="case"):
        rewriter(model).rewrite(cases[0], random.Random(1))
    assert [] == model.told


def test_without_a_model_rules_make_the_samples_and_it_is_said_once() -> None:
    said: list[str] = []
    made = made_by(None, ROWS, said)
    assert made
    assert {"slots", "register"} >= set(counted(made))
    assert 1 == sum("no language model is set" in text for text in said)
    assert all("~paraphrase-" in item.turn.message.message_id for item in made)
    assert {item.turn.message.message_id for item in ROWS} >= {parent_of(item) for item in made}


@pytest.mark.parametrize("says", [failing, lambda told: "我不能帮您"])
def test_a_model_that_fails_is_let_alone_and_rules_go_on(says: Callable[[dict[str, Any]], str]) -> None:
    said: list[str] = []
    model = Model(says)
    made = made_by(model, ROWS, said)
    assert MOST_FAILURES == len(model.told)
    assert made
    assert "paraphrase" not in counted(made)
    assert 1 == sum("no use of the language model" in text for text in said)
    assert PROMISE not in " ".join(said)


def test_one_failure_between_answers_is_passed_over() -> None:
    model = Model(lambda told: failing(told) if len(model.told) % 2 else good(told))
    made_by(model, ROWS, [])
    assert 16 == len(model.told)


def test_at_most_so_many_are_asked_a_minute() -> None:
    waits: list[float] = []
    asks = rewriter(Model(good), waits)
    for number in range(3):
        asks.rewrite(violation(number=number), random.Random(1))
    assert [0.0, 1.0, 1.0] == waits


def test_a_failure_tells_nothing_of_the_message() -> None:
    with pytest.raises(RewriterFailed, match="cannot be reached") as caught:
        rewriter(Model(failing)).rewrite(violation(), random.Random(1))
    assert PROMISE not in str(caught.value)
