"""What could name a person is hidden, and offsets stay true."""

import re

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
        ("a@b.cn+li@d.cn", "x@x.xx+xx@x.xx"),
        ("a@@b@c.cn", "a@@x@x.xx"),
        pytest.param("a" * 19_990 + "@b.cn", "x" * 19_990 + "@x.xx", id="the longest address"),
        pytest.param("a" * 20_000, "a" * 20_000, id="the longest word"),
        ("年化3.5%，20261120到期，10000元", "年化3.5%，20261120到期，10000元"),
    ],
)
def test_numbers_and_addresses_are_masked(text: str, hidden: str) -> None:
    assert hidden == mask(text)


@given(st.text(alphabet=st.sampled_from("0123456789138abc@.微信号：- 保本"), max_size=60))
def test_masking_keeps_the_length(text: str) -> None:
    assert len(text) == len(mask(text))


@given(st.text(alphabet=st.sampled_from("ab_.+-@保 "), max_size=40))
def test_every_address_is_masked_wherever_it_begins(text: str) -> None:
    """The expression that says what an address is, tried from every character."""
    address = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
    assert address.sub(lambda found: re.sub("[A-Za-z0-9]", "x", found[0]), text) == mask(text)
