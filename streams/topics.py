"""The topics: their names, how many partitions, what the broker is told of each."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

from streams.admin import ADMIN_TIMEOUT_MS, broker_admin
from streams.broker import Bootstrap
from streams.errors import BrokerError

log = logging.getLogger(__name__)

MESSAGES = "advisor.messages"
DEAD_LETTERS = "advisor.messages.dlq"
VERDICTS = "compliance.verdicts"
REVIEWS = "compliance.reviews"
MODELS = "compliance.models"

WORKER_GROUP = "redline-worker"
SINK_GROUP = "redline-sink"
DEFAULT_PARTITIONS = 4
# How many copies there are is for the cluster to say: its default.replication.factor.
BROKER_DEFAULT = -1
MIB = 1024 * 1024
# A record may be 1 MiB. Its dead letter is base64 (4/3) with a frame around it, and a verdict
# quotes the text, so the topics of all three take twice that.
MAX_RECORD_BYTES = 2 * MIB
MAX_MESSAGE_BYTES = "max.message.bytes"
# The context of one conversation: a dozen messages, see streams/table_context.py.
MAX_CONTEXT_BYTES = 3 * MIB
MAX_REQUEST_BYTES = 4 * MIB
DAY_MS = 24 * 60 * 60 * 1000
ASK_AGAIN_SEC = 0.1
# Who subscribes a moment before a topic is known everywhere must not wait five minutes, the clients' default.
METADATA_MAX_AGE_MS = 10_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it is declared. More partitions later would move conversations and break their order."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


def topic_specs(partitions: int = DEFAULT_PARTITIONS) -> tuple[TopicSpec, ...]:
    """All topics of redline. Those keyed by conversation have the same number of partitions."""
    size = {MAX_MESSAGE_BYTES: str(MAX_RECORD_BYTES)}
    return (
        TopicSpec(MESSAGES, partitions, {**size, "retention.ms": str(7 * DAY_MS)}),
        # Kept longer than the messages: somebody has to find the time to look.
        TopicSpec(DEAD_LETTERS, 1, {**size, "retention.ms": str(30 * DAY_MS)}),
        TopicSpec(VERDICTS, partitions, {**size, "retention.ms": str(7 * DAY_MS)}),
        TopicSpec(REVIEWS, partitions, {"retention.ms": str(30 * DAY_MS)}),
        # Every announcement is for every worker, in one order.
        TopicSpec(MODELS, 1, {"cleanup.policy": "compact"}),
    )


def context_spec(app_id: str, table: str, partitions: int) -> TopicSpec:
    """
    The changelog of the worker's context table, under the name that Faust gives it.

    Compacted, and conversations that were silent for 30 days are dropped, so that
    a restart does not read back every conversation there ever was.
    """
    return TopicSpec(
        f"{app_id}-{table}-changelog",
        partitions,
        {
            "cleanup.policy": "compact,delete",
            "retention.ms": str(30 * DAY_MS),
            MAX_MESSAGE_BYTES: str(MAX_REQUEST_BYTES),
        },
    )


def ensure_topics(
    bootstrap: Bootstrap, specs: Iterable[TopicSpec], *, replication: int = BROKER_DEFAULT
) -> dict[str, int]:
    """
    Create the topics that do not exist yet; return the partitions that each really has.

    An existing topic is left as it is. Raises BrokerError when the broker cannot be
    reached or refuses, for example because this user may not create topics: then an
    operator creates them as listed by `topic_specs`. Also when an existing topic takes
    only smaller records than it must: a worker would stop at the first larger one, again and again.
    """
    wanted = {spec.name: spec for spec in specs}
    with broker_admin(bootstrap) as admin:
        try:
            there = set(admin.list_topics())
            _refuse_small(bootstrap, admin, [wanted[name] for name in sorted(wanted.keys() & there)])
            for name in sorted(wanted.keys() - there):
                _create(admin, wanted[name], replication)
            return _partitions(admin, sorted(wanted))
        except KafkaError as error:
            raise BrokerError(
                f"the broker at {bootstrap} refused the topics: {error}", retryable=False
            ) from error


def _refuse_small(bootstrap: Bootstrap, admin: KafkaAdminClient, specs: Iterable[TopicSpec]) -> None:
    """Raises BrokerError, with the commands that mend it, and KafkaError."""
    needed = {
        spec.name: int(spec.config[MAX_MESSAGE_BYTES]) for spec in specs if MAX_MESSAGE_BYTES in spec.config
    }
    if not needed:
        return
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, [MAX_MESSAGE_BYTES]) for name in needed]
    told = admin.describe_configs(asked, config_filter="all").get("topic", {})
    small: list[str] = []
    for name, size in needed.items():
        found = told.get(name, {}).get(MAX_MESSAGE_BYTES)
        if found is None:  # this user may not see it
            log.warning(
                "cannot see %s of the topic %s: it must be at least %d", MAX_MESSAGE_BYTES, name, size
            )
        elif int(found["value"]) < size:
            small.append(
                f"the topic {name} has {MAX_MESSAGE_BYTES}={found['value']} and needs {size}:\n"
                f"  kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
                f"--entity-name {name} --add-config {MAX_MESSAGE_BYTES}={size}"
            )
    if small:
        raise BrokerError(
            "what redline writes may be larger than these topics take. Set it, then start again:\n"
            + "\n".join(small),
            retryable=False,
        )


def _partitions(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    """
    How many each has. Asks until all are told: in a cluster another node may answer, which has not heard of them.

    Raises KafkaError.
    """
    deadline = monotonic() + ADMIN_TIMEOUT_MS / 1000
    while True:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(names)}
        unknown = [name for name in names if not found.get(name)]
        if not unknown:
            return found
        if monotonic() > deadline:
            raise KafkaTimeoutError(f"{', '.join(unknown)} cannot be seen")
        sleep(ASK_AGAIN_SEC)


def _create(admin: KafkaAdminClient, spec: TopicSpec, replication: int) -> None:
    request = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": replication,
            "configs": dict(spec.config),
        }
    }
    try:
        admin.create_topics(request, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return  # another worker was faster
