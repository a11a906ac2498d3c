"""Three Kafka nodes on 127.0.0.1, each broker and controller: what is left when one of them dies."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from deploy.dev.kafka_home import DEFAULT_CACHE
from deploy.dev.kafka_node import KafkaNode
from deploy.dev.process import free_ports
from deploy.dev.services import KafkaBroker

NODES = 3


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """The nodes of one cluster. Topics need `replication=3`. A context manager that stops them at the end."""

    nodes: tuple[KafkaBroker, ...]

    @property
    def bootstrap(self) -> str:
        """Addresses of all nodes, for clients."""
        return ",".join(node.bootstrap for node in self.nodes)

    @classmethod
    def start(cls, directory: Path, *, cache: Path = DEFAULT_CACHE) -> Self:
        """Start the nodes with their data under `directory`. Raises ServiceError; stops what it started then."""
        ports = free_ports(2 * NODES)
        voters = {number: ports[2 * number - 1] for number in range(1, NODES + 1)}
        cluster_id = uuid4().hex[:22]
        started: list[KafkaBroker] = []
        try:
            for number, controller in voters.items():
                folder = directory / f"node{number}"
                own = {"broker": ports[2 * number - 2], "controller": controller}
                node = KafkaNode(own, folder / "data", number, voters)
                started.append(KafkaBroker.spawn_node(folder, node, cluster_id=cluster_id, cache=cache))
            for each in started:
                each.wait()
        except BaseException:
            for each in started:
                each.stop()
            raise
        return cls(tuple(started))

    def stop(self) -> None:
        """End every node that still runs."""
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
