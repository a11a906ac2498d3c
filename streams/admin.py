"""A short visit to the broker as its administrator."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams.broker import Bootstrap, as_broker, not_let_in, require_broker

ADMIN_TIMEOUT_MS = 15_000


@contextmanager
def broker_admin(bootstrap: Bootstrap) -> Iterator[KafkaAdminClient]:
    """A client that is closed after the block. Raises BrokerError when the broker cannot be reached or lets nobody in."""
    require_broker(bootstrap)
    try:
        admin = KafkaAdminClient(
            **as_broker(bootstrap).client_options(), bootstrap_timeout_ms=ADMIN_TIMEOUT_MS
        )
    except KafkaError as error:
        raise not_let_in(bootstrap, error) from error
    try:
        yield admin
    finally:
        admin.close()
