"""What could name a person is hidden, and offsets stay true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.masking import mask


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("我电话13812345678，保本的", "我电话00000000000，保本的"),
        ("138-1234-5678", "000-0000-0000"),
        ("身份证11010119900307123X", "身份证00000000000000000X"[:3] + "000000000000000000"[:17] + "X"),
        ("卡号6222021234567890123", "卡号0000000000000000000"),
        ("发到zhang.san@example.com吧", "发到xxxxx.xxx@xxxxxxx.xxx吧"),
        ("年化3.5%，20261120到期，10000元", "年化3.5%，20261120到期，10000元"),
    ],
)
def test_numbers_and_addresses_are_masked(text: str, hidden: str) -> None:
    assert hidden == mask(text)


@given(st.text(alphabet=st.sampled_from("0123456789138abc@.微信号：- 保本"), max_size=60))
def test_masking_keeps_the_length(text: str) -> None:
    assert len(text) == len(mask(text))
