"""What does not go together is refused; passwords do not print."""

from pathlib import Path
from typing import Any

import pytest

from streams.broker import Broker, require_broker
from streams.errors import BrokerError
from streams.security import KafkaSecurity

WITH_PASSWORD: dict[str, Any] = {"protocol": "SASL_SSL", "username": "redline", "password": "hunter2"}


def test_plain_text_adds_nothing() -> None:
    assert {"bootstrap_servers": "a:1,b:2"} == Broker("a:1,b:2").client_options()
    assert KafkaSecurity().ssl_context() is None


def test_password_goes_to_the_clients_and_nowhere_else() -> None:
    broker = Broker("a:1", KafkaSecurity(**WITH_PASSWORD))
    options = broker.client_options()
    assert ("SASL_SSL", "SCRAM-SHA-512", "redline", "hunter2") == (
        options["security_protocol"],
        options["sasl_mechanism"],
        options["sasl_plain_username"],
        options["sasl_plain_password"],
    )
    assert options["ssl_context"].check_hostname
    assert "hunter2" not in f"{broker} {broker!r}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"protocol": "SASL_SSL", "username": "redline"}, "needs a user and a password"),
        ({"username": "redline", "password": "x"}, "PLAINTEXT uses none"),
        ({**WITH_PASSWORD, "protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN"}, "send the password readable"),
        ({"ca_file": Path("ca.pem")}, "PLAINTEXT uses none"),
        ({"protocol": "SSL", "cert_file": Path("me.crt")}, "go together"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        KafkaSecurity(**given)


def test_unusable_file_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.touch()
    for ca_file in (empty, tmp_path / "nowhere.pem"):
        with pytest.raises(BrokerError, match=r"CA certificates in .*\.pem"):
            require_broker(Broker("127.0.0.1:1", KafkaSecurity("SSL", ca_file)))
