"""How far a consumer group has come."""

import logging

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams.broker import Bootstrap, as_broker, not_let_in, require_broker
from streams.topics import ADMIN_TIMEOUT_MS

log = logging.getLogger(__name__)


def committed_offsets(bootstrap: Bootstrap, group: str, topic: str) -> dict[int, int] | None:
    """
    The next offset that the group would read, by partition; partitions that it never read are left out.

    None, with a line in the log, where this user may not see the group. Raises BrokerError when the
    broker cannot be reached.
    """
    require_broker(bootstrap)
    try:
        admin = KafkaAdminClient(
            **as_broker(bootstrap).client_options(), bootstrap_timeout_ms=ADMIN_TIMEOUT_MS
        )
    except KafkaError as error:
        raise not_let_in(bootstrap, error) from error
    try:
        offsets = admin.list_group_offsets({group: None})[group]
    except KafkaError as error:
        log.warning("the offsets of the group %s cannot be seen: %s", group, error)
        return None
    finally:
        admin.close()
    return {place.partition: kept.offset for place, kept in offsets.items() if place.topic == topic}
