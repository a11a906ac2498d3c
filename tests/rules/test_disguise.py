"""Disguised words are read, with evidence in the original; innocent text is left as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.disguise.reader import Reader
from rules.disguise.sounds import loose, spelt, syllable
from rules.disguise.syllable_table import read_table, table_of_pypinyin
from rules.disguise.vocabulary import Vocabulary
from rules.engine import Engine
from rules.errors import RuleTimeout
from rules.loader import load_pack
from rules.model import Line, Scene
from rules.text import normalise

ENGINE = Engine(load_pack())
HIDDEN = ["保本", "保证", "稳赚", "稳赚不赔", "不会亏", "年化", "收益", "预期", "兜底", "本金"]
READER = Reader(Vocabulary.of([*HIDDEN, "没有", "对手"], HIDDEN, HIDDEN))


def read(text: str) -> list[str]:
    return [reading.text.text for reading in READER.readings(normalise(text))]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("这款葆本的", "这款保本的"),
        ("baoben的", "保本的"),
        ("bao ben的", "保本的"),
        ("稳zhuan不赔", "稳赚不赔"),
        ("w赚不赔", "稳赚不赔"),
        ("wz不赔", "稳赚不赔"),
        ("亻呆本的", "保本的"),
        ("禾急赚", "稳赚"),
        ("保夲", "保本"),
        ("苯金不动", "本金不动"),
        ("稳💰", "稳赚"),
        ("保❤本", "保本"),
        ("由我兜 底的", "由我兜底的"),
        ("年~化", "年化"),
        ("保保本本", "保本"),
        ("稳赚赚赚", "稳赚"),
        ("不会窥", "不会亏"),
        ("年华6%", "年化6%"),
        ("预期年画", "预期年化"),
    ],
)
def test_a_disguised_word_is_read(written: str, meant: str) -> None:
    assert meant in read(written)


@pytest.mark.parametrize(
    "text",
    [
        "我们的日报本周发",
        "报本人姓名",
        "wz科技今天停牌",
        "bz区的网点周末不开",
        "抱歉，没有查到",
        "报歉，没有查到",
        "好好学习",
        "妈妈说的",
        "买了一只etf和lof",
        "app里能看",
        "这个 月底再说",
        "女子和明日",
    ],
)
def test_innocent_text_has_no_second_reading(text: str) -> None:
    assert [] == read(text)


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("这款葆夲的，您放心", "葆夲"),
        ("这只稳zhuan不赔", "稳zhuan不赔"),
        ("不会kui的", "不会kui"),
        ("女神，亻呆本的", "亻呆本"),
    ],
)
def test_evidence_of_a_disguise_points_at_what_was_written(text: str, evidence: str) -> None:
    spans = [text[start:end] for hit in ENGINE.hits(Scene(Line("advisor", text))) for start, end in hit.spans]
    assert any(evidence in span for span in spans), spans


@pytest.mark.parametrize(
    ("plain", "disguised"),
    [
        ("年底净值能回到一块二", "年底镜子能回到一块二"),
        ("年底净值能回到一块二", "年底j值能回到一块二"),
        ("这个本金不会少的", "这个b金不会少的"),
        ("您长按删掉", "您长按s掉"),
        ("它的预期年化是四个点", "它的与其年画是四个点"),
        ("预期收益率4.2，别记错", "yqsyl4.2，别记错"),
    ],
)
def test_a_misheard_or_shortened_word_is_found_as_the_plain_one(plain: str, disguised: str) -> None:
    found = {hit.rule.id for hit in ENGINE.hits(Scene(Line("advisor", plain)))}
    assert found
    assert found & {hit.rule.id for hit in ENGINE.hits(Scene(Line("advisor", disguised)))}


@pytest.mark.parametrize(
    "text",
    [
        "这家饭店推荐给您",
        "镜子我擦干净了",
        "与其等不如早点来",
        "太sb了，送错两回",
        "黄金饰品满额再送，回td退订",
        "优惠券今天到期，有礼有惊喜，回td退订",
        "无线快充7.5w的，够用了",
        "公司上半年增长3%，其中q2门店数增长12%",
        "发送lhb0到10086办理流量包",
        "隧道工程zt5标段资金4.6亿，公司中标",
        "他年华正好",
        "您能受益很多",
    ],
)
def test_everyday_words_that_sound_like_hidden_ones_are_no_hit(text: str) -> None:
    assert () == ENGINE.hits(Scene(Line("advisor", text)))


def test_a_picture_before_a_phrase_is_no_evidence() -> None:
    spans = [span for hit in ENGINE.hits(Scene(Line("advisor", "这款😊保本的"))) for span in hit.spans]
    assert 3 == min(start for start, _ in spans)


@pytest.mark.parametrize("text", ["我们不葆本的", "没有稳zhuan的产品", "谁说baoben都别信"])
def test_guards_hold_for_disguised_words(text: str) -> None:
    assert () == ENGINE.hits(Scene(Line("advisor", text)))


def test_a_phrase_split_over_messages_is_found_in_the_last() -> None:
    before = (Line("customer", "有风险吗"), Line("advisor", "这款肯定保"))
    (hit, *_) = ENGINE.hits(Scene(Line("advisor", "本的，您放心"), before))
    assert 0 == hit.spans[0][0]


def test_another_speaker_or_a_finished_sentence_does_not_go_on() -> None:
    assert () == ENGINE.hits(Scene(Line("advisor", "本的还是股的都行"), (Line("customer", "这款肯定保"),)))
    assert () == ENGINE.hits(Scene(Line("advisor", "本的还是股的都行"), (Line("advisor", "这款肯定保。"),)))


def test_a_message_of_puzzles_goes_to_a_person() -> None:
    with pytest.raises(RuleTimeout):
        READER.readings(normalise("亻呆" * 10_000))


@given(st.text(alphabet="保夲本稳zhuanbo葆证亻呆❤💰 ~赚赔不会亏年华6%的", max_size=24))
def test_every_disguise_is_a_stretch_of_the_text(text: str) -> None:
    plain = normalise(text)
    for reading in READER.readings(plain):
        assert reading.text.original == text
        assert len(reading.text.text) == len(reading.text.starts) == len(reading.text.ends)
        for (start, end), disguise in zip(reading.changed, reading.disguises, strict=True):
            end = max(end, start + 1)
            assert disguise.word == reading.text.text[start:end]
            first, last = reading.text.original_span(start, end)
            assert 0 <= first < last <= len(text)


def test_sounds() -> None:
    assert "wen" == syllable("稳")
    assert "lv" == syllable("率")
    assert "" == syllable("a")
    assert loose("zheng") == loose("zen")
    assert ("bao", "ben") == spelt("baoben")
    assert spelt("bz") is None


def test_the_table_of_syllables_is_what_pypinyin_says() -> None:
    """Else: `python -m rules.disguise.syllable_table`, and look at what changes in the readings."""
    assert table_of_pypinyin() == read_table()
