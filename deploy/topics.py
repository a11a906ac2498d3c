"""The topics as the settings want them. Needs the streams extra."""

from deploy.settings import Settings
from streams.topics import BROKER_DEFAULT, ensure_topics, topic_specs


def replication(settings: Settings) -> int:
    """How many copies of a topic are made."""
    return settings.kafka_replication or BROKER_DEFAULT


def make_topics(settings: Settings) -> None:
    """Create the topics that are missing; those that exist stay as they are. Raises BrokerError."""
    specs = topic_specs(settings.kafka_partitions)
    ensure_topics(settings.broker, specs, replication=replication(settings))
