"""The topics: their names, how many partitions, what the broker is told of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

from streams.admin import ADMIN_TIMEOUT_MS, broker_admin
from streams.broker import Bootstrap
from streams.errors import BrokerError

MESSAGES = "advisor.messages"
DEAD_LETTERS = "advisor.messages.dlq"
VERDICTS = "compliance.verdicts"
REVIEWS = "compliance.reviews"
MODELS = "compliance.models"

WORKER_GROUP = "redline-worker"
DEFAULT_PARTITIONS = 4
# How many copies there are is for the cluster to say: its default.replication.factor.
BROKER_DEFAULT = -1
MIB = 1024 * 1024
# A record may be 1 MiB. Its dead letter is base64 (4/3) with a frame around it, and a verdict
# quotes the text, so every topic of ours takes twice that.
MAX_RECORD_BYTES = 2 * MIB
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
    size = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    return (
        TopicSpec(MESSAGES, partitions, {**size, "retention.ms": str(7 * DAY_MS)}),
        # Kept longer than the messages: somebody has to find the time to look.
        TopicSpec(DEAD_LETTERS, 1, {**size, "retention.ms": str(30 * DAY_MS)}),
        TopicSpec(VERDICTS, partitions, {**size, "retention.ms": str(7 * DAY_MS)}),
        TopicSpec(REVIEWS, partitions, {**size, "retention.ms": str(30 * DAY_MS)}),
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
            "max.message.bytes": str(MAX_REQUEST_BYTES),
        },
    )


def ensure_topics(
    bootstrap: Bootstrap, specs: Iterable[TopicSpec], *, replication: int = BROKER_DEFAULT
) -> dict[str, int]:
    """
    Create the topics that do not exist yet; return the partitions that each really has.

    An existing topic is left as it is. Raises BrokerError when the broker cannot be
    reached or refuses, for example because this user may not create topics: then an
    operator creates them as listed by `topic_specs`.
    """
    wanted = {spec.name: spec for spec in specs}
    with broker_admin(bootstrap) as admin:
        try:
            missing = sorted(set(wanted) - set(admin.list_topics()))
            for name in missing:
                _create(admin, wanted[name], replication)
            return _partitions(admin, sorted(wanted))
        except KafkaError as error:
            raise BrokerError(
                f"the broker at {bootstrap} refused the topics: {error}", retryable=False
            ) from error


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
