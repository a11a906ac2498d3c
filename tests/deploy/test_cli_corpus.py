"""`redline corpus`: an option that would silently do nothing is refused."""

import orjson

from tests.deploy.conftest import Redline


def test_readers_agree_on_one_of_the_readings(redline: Redline) -> None:
    whole, ladder = (
        orjson.loads(redline("corpus", "agreement", *options).out)
        for options in ((), ("--reading", "ladder"))
    )
    assert whole["any"]["messages"] != ladder["any"]["messages"]


def test_a_reading_is_of_the_agreement_only(redline: Redline) -> None:
    ended = redline("corpus", "train", "--reading", "ladder")
    assert 2 == ended.code
    assert not ended.out
    assert "goes with 'agreement'" in ended.err
