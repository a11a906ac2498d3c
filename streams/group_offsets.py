"""How far a consumer group has come."""

import logging

from kafka.errors import KafkaError

from streams.admin import broker_admin
from streams.broker import Bootstrap

log = logging.getLogger(__name__)


Place = tuple[str, int]
"""Topic and partition."""


def committed_offsets(bootstrap: Bootstrap, group: str) -> dict[Place, int] | None:
    """
    The next offset that the group would read, by place; partitions that it never read are left out.

    None, with a line in the log, where this user may not see the group. Raises BrokerError when the
    broker cannot be reached.
    """
    with broker_admin(bootstrap) as admin:
        try:
            offsets = admin.list_group_offsets({group: None})[group]
        except KafkaError as error:
            log.warning("the offsets of the group %s cannot be seen: %s", group, error)
            return None
    return {(place.topic, place.partition): kept.offset for place, kept in offsets.items()}
