"""WeCom session archives: text is read, everything else is told with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from detectors.domain import Message, Speaker
from streams.identity import content_hash, event_of
from streams.readers.base import BadRecord
from streams.readers.records import read_records

CUSTOMER = "wmErxtDgAA9AW32YyyuYRimKr7D1KWlw"
RECORD: dict[str, Any] = {
    "msgid": "w1",
    "action": "send",
    "from": "zhangwei",
    "tolist": [CUSTOMER],
    "roomid": "",
    "msgtime": 1740792600123,
    "msgtype": "text",
    "text": {"content": "这只不保本"},
}

# Accounts that a firm may choose: some begin like the ids of customers and robots.
STAFF = (
    "ZhangWei",
    "wolei",
    "wolei2",
    "wo-li",
    "womei_zh",
    "woody01",
    "wm8",
    "wubin",
    "wb_2",
    "wang.bo@example.com",
    "womei.zhang@wealth-management.cn",
    "wong_kar_wai_private_banking_hk",
)


def read(tmp_path: Path, **changes: Any) -> Message | BadRecord:
    path = tmp_path / "archive.jsonl"
    path.write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")
    (record,) = read_records(path)
    return record


def message(tmp_path: Path, **changes: Any) -> Message:
    record = read(tmp_path, **changes)
    assert isinstance(record, Message), str(record)
    return record


def test_text_of_a_chat_of_two(tmp_path: Path) -> None:
    sent = message(tmp_path)
    assert (sent.message_id, sent.text, sent.channel) == ("w1", "这只不保本", "wecom")
    assert sent.sent_at.isoformat() == "2025-03-01T01:30:00.123000+00:00"
    assert (sent.speaker, sent.advisor_id, sent.customer_id) == (Speaker.ADVISOR, "zhangwei", CUSTOMER)
    assert sent.attributes == {"from": "zhangwei", "tolist": f'["{CUSTOMER}"]'}


def test_both_directions_are_one_conversation(tmp_path: Path) -> None:
    answer = message(tmp_path, **{"from": CUSTOMER, "tolist": ["zhangwei"]})
    assert answer.speaker is Speaker.CUSTOMER
    assert (answer.advisor_id, answer.customer_id) == ("zhangwei", CUSTOMER)
    assert answer.conversation_id == message(tmp_path).conversation_id


def test_group_is_one_conversation_and_keeps_its_members(tmp_path: Path) -> None:
    sent = message(tmp_path, roomid="wrGroup1", tolist=["liping", CUSTOMER])
    assert sent.conversation_id == "wrGroup1"
    assert json.loads(sent.attributes["tolist"]) == ["liping", CUSTOMER]


@pytest.mark.parametrize(
    ("sender", "speaker"),
    [
        (CUSTOMER, Speaker.CUSTOMER),
        ("woAJ2GCAAABiuyujaWJHDDGi0mACHAAA", Speaker.CUSTOMER),
        ("wm_i1DKgAAJLpEo9QlY8oUZ-iapkd_Nw", Speaker.CUSTOMER),
        ("wbjc7bDwAAJVylUKpSA3Z5U11tDO4AAA", Speaker.BOT),
        *((staff, Speaker.ADVISOR) for staff in STAFF),
    ],
)
def test_who_speaks_follows_from_the_id(tmp_path: Path, sender: str, speaker: Speaker) -> None:
    assert speaker is message(tmp_path, **{"from": sender, "tolist": ["liping"]}).speaker


def test_who_speaks_is_configurable(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "streams" / "readers" / "mappings" / "wecom.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(
        shipped.read_text(encoding="utf-8").replace("values: {}", "values: {zhangwei: other}"),
        encoding="utf-8",
    )
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(RECORD), encoding="utf-8")
    (record,) = read_records(path, mapping=own)
    assert isinstance(record, Message)
    assert record.speaker is Speaker.OTHER


def test_markdown_and_links_have_text(tmp_path: Path) -> None:
    assert message(tmp_path, msgtype="markdown", info={"content": "**保本**"}).text == "**保本**"
    link = {"title": "稳赚", "description": "点开看", "link_url": "https://example.com"}
    assert message(tmp_path, msgtype="link", link=link).text == "稳赚\n点开看"


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"msgtype": "voice", "voice": {}}, "not_text", "msgtype"),
        ({"msgtype": "image", "image": {}}, "not_text", "msgtype"),
        ({"msgtype": "mixed", "mixed": {"item": []}}, "not_text", "msgtype"),
        ({"msgtype": "hologram"}, "not_text", "msgtype"),
        ({"msgtype": None}, "not_text", "msgtype"),
        ({"action": "recall", "msgtype": "revoke", "revoke": {}}, "missing_field", "message_id"),
        ({"action": "recall", "msgtype": "revoke", "revoke": {"pre_msgid": 5}}, "wrong_type", "message_id"),
        ({"action": "switch"}, "log_entry", "action"),
        ({"action": "edit"}, "unexpected_record", "action"),
        ({"action": None}, "unexpected_record", "action"),
        ({"encrypt_chat_msg": "abc"}, "encrypted", "encrypt_chat_msg"),
        ({"text": {}}, "missing_field", "text"),
        ({"text": {"content": 5}}, "wrong_type", "text"),
        ({"msgtime": 1740792600}, "bad_timestamp", "sent_at"),
        ({"msgtime": "soon"}, "wrong_type", "sent_at"),
        ({"msgtime": 10**17}, "bad_timestamp", "sent_at"),
        ({"msgid": 12}, "wrong_type", "message_id"),
        ({"msgid": ""}, "missing_field", "message_id"),
        ({"from": None}, "missing_field", "speaker"),
        ({"from": 5}, "wrong_type", "speaker"),
        ({"tolist": []}, "missing_field", "conversation_id"),
    ],
)
def test_what_cannot_be_judged_is_told(
    tmp_path: Path, changes: dict[str, Any], reason: str, field: str
) -> None:
    record = read(tmp_path, **changes)
    assert isinstance(record, BadRecord)
    assert (reason, field, 1) == (record.reason, record.field, record.line)


def test_a_recall_goes_under_the_id_of_what_is_taken_back(tmp_path: Path) -> None:
    recall = {"action": "recall", "msgtype": "revoke", "msgid": "w9", "revoke": {"pre_msgid": "w1"}}
    taken_back = message(tmp_path, **recall)
    assert ("w1", "", "recall") == (taken_back.message_id, taken_back.text, event_of(taken_back))
    sent = message(tmp_path)
    assert sent.conversation_id == taken_back.conversation_id
    assert content_hash(sent) != content_hash(taken_back)


def test_numbers_as_strings_are_read(tmp_path: Path) -> None:
    sent = message(tmp_path, msgtime="1740792600123", seq="25825", tolist=CUSTOMER)
    assert (sent.seq, sent.sent_at) == (25825, message(tmp_path).sent_at)
