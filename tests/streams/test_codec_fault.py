"""A record that cannot be parsed still names the field that it broke in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec_fault import field_under_way, parse_record
from streams.errors import InvalidMessage

ID = b'{"message_id":"m-1",'


@pytest.mark.parametrize(
    ("raw", "reason", "field"),
    [
        (ID + b'"text":"cut off', "bad_json", "text"),
        (ID + b'"text":', "bad_json", "text"),
        (ID + b'"text":"a\x00b"}', "bad_json", "text"),
        (ID + b'"text":"\\"text\\": \xff"}', "invalid_utf8", "text"),
        (ID + b'"text":"\\ud83d"}', "lone_surrogate", "text"),
        (ID + b'"product":{"code":"1","name":"\xff"}}', "invalid_utf8", "product.name"),
        (ID + b'"tags":["a","\xff"],"text":"b"}', "invalid_utf8", "tags"),
        (ID + b'"product":{"code":"1"},"text":NaN}', "bad_json", "text"),
        (ID + b'"\xe4\xbf\x9d":"\xff"}', "invalid_utf8", "保"),
        (ID + b'"text":"' + b"a" * 1_100_000 + b'"}', "too_large", "text"),
        (ID + b'"a\nb":"\xff"}', "invalid_utf8", None),
        (ID + b"}", "bad_json", "message_id"),  # a comma behind it, and then no field
        (ID + b'"half', "bad_json", None),
        (b"not json", "bad_json", None),
        (b"\xff", "invalid_utf8", None),
        (b"[1]", "not_an_object", None),
    ],
)
def test_refusal_names_the_field_where_one_can_be_told(raw: bytes, reason: str, field: str | None) -> None:
    with pytest.raises(InvalidMessage) as refused:
        parse_record(raw)

    assert (reason, field) == (refused.value.reason, refused.value.field)


def test_text_with_half_a_surrogate_pair_names_its_field() -> None:
    with pytest.raises(InvalidMessage) as refused:
        parse_record('{"message_id":"m-1","text":"a\ud83d"}')

    assert ("lone_surrogate", "text") == (refused.value.reason, refused.value.field)


@given(st.text('{}[],:"\\ a保', min_size=1), st.data())
def test_field_is_told_wherever_its_text_is_cut(text: str, data: st.DataObject) -> None:
    before, value = (
        '{"product":{"code":"1"},"list":[{"a":"b"},"c"],"text":',
        json.dumps(text, ensure_ascii=False),
    )
    cut = data.draw(st.integers(1, len(value) - 1))

    assert "text" == field_under_way(before + value[:cut])


@given(st.text('{}[],:"\\ab', max_size=30))
def test_what_is_no_json_at_all_does_no_harm(text: str) -> None:
    field = field_under_way(text)

    assert field is None or all(f'"{key}"' in text for key in field.split("."))
