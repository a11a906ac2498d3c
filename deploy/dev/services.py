"""
Start and stop a real Kafka broker and a real ClickHouse server on 127.0.0.1.

Both run unprivileged in a folder of yours, keep their data and logs there, and
take free ports unless told. Used by the tests' fixtures and by `python -m deploy.dev`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from deploy.dev.certificates import Certificates, make_certificates
from deploy.dev.kafka_home import DEFAULT_CACHE, jars, java
from deploy.dev.kafka_node import (
    MECHANISM,
    PASSWORD,
    USER,
    KafkaNode,
    with_certificate,
    with_password,
)
from deploy.dev.process import (
    RunningProcess,
    ServiceError,
    find_program,
    free_ports,
    recall,
    refuse_taken_port,
    spawn,
    wait_for_port,
    wait_until,
)
from streams.broker import Broker

HERE = Path(__file__).parent
START_TIMEOUT_SEC = 120.0
CERTIFICATES = "certificates"
CLICKHOUSE_HINT = "clickhouse-server is missing. Install it: apt-get install clickhouse-server"
SYSTEM_SBIN = (Path("/usr/sbin"), Path("/usr/local/sbin"))
# A small heap and the quick compiler: a development broker starts in seconds and stays near 200 MB.
JVM_OPTIONS = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


@dataclass(frozen=True, slots=True)
class _Service:
    """What both services share: a folder, a process, and a stop that may be called twice."""

    directory: Path
    process: RunningProcess

    def stop(self) -> None:
        """End the server; data and logs stay. Calling it again does nothing."""
        self.process.stop()

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self.process.alive()

    @property
    def log(self) -> Path:
        """What the server printed."""
        return Path(self.process.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class KafkaBroker(_Service):
    """Apache Kafka in KRaft mode, one node. A context manager that stops it at the end."""

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.process.ports['broker']}"

    @property
    def with_password(self) -> Broker:
        """The listener with TLS and SCRAM, of a broker that was started `secure`."""
        return with_password(self.process.ports["sasl"], Certificates(self.directory / CERTIFICATES))

    @property
    def with_certificate(self) -> Broker:
        """The listener that asks for a client's certificate, of a broker that was started `secure`."""
        return with_certificate(self.process.ports["mutual"], Certificates(self.directory / CERTIFICATES))

    @classmethod
    def start(
        cls, directory: Path, *, port: int | None = None, secure: bool = False, cache: Path = DEFAULT_CACHE
    ) -> Self:
        """
        Start a broker with its data under `directory`, or return the one that runs there.

        Data from an earlier start in the same folder is used again. `secure` adds a listener
        with TLS and SCRAM and one with client certificates; both are reached as `with_password`
        and `with_certificate`. Fetches the jars into `cache` the first time. Raises
        ServiceError that names what to install.
        """
        directory = directory.resolve()
        known = recall(directory, "kafka")
        if known is not None:
            return cls(directory, known)
        free = free_ports(4)
        ports = {"broker": port or free[0], "controller": free[1]}
        if secure:
            ports |= {"sasl": free[2], "mutual": free[3]}
        certificates = make_certificates(directory / CERTIFICATES) if secure else None
        node = KafkaNode(ports, directory / "data", certificates=certificates)
        broker = cls.spawn_node(directory, node, cluster_id=uuid4().hex[:22], cache=cache)
        broker.wait()
        return broker

    @classmethod
    def spawn_node(
        cls, directory: Path, node: KafkaNode, *, cluster_id: str, cache: Path = DEFAULT_CACHE
    ) -> Self:
        """Start one node as it is described. Its ports answer after `wait`: in a cluster not before the others run."""
        directory = directory.resolve()
        program, classpath = java(), f"{jars(cache)}/*"
        directory.mkdir(parents=True, exist_ok=True)
        refuse_taken_port(node.ports["broker"], what="the Kafka broker")
        properties = directory / "server.properties"
        _fill(HERE / "kafka" / "server.properties", properties, node.values())
        logging = f"-Dlog4j2.configurationFile={HERE / 'kafka' / 'log4j2.properties'}"
        base = [program, *JVM_OPTIONS, logging, "-cp", classpath]
        if not (directory / "data" / "meta.properties").exists():
            _format_storage([*base, "kafka.tools.StorageTool"], properties, directory, cluster_id)
        process = spawn(
            [*base, "kafka.Kafka", str(properties)], directory=directory, name="kafka", ports=dict(node.ports)
        )
        return cls(directory, process)

    def wait(self) -> None:
        """Return once every port answers; they open one after the other. Raises ServiceError."""
        for port in self.process.ports.values():
            wait_for_port(self.process, port, what="the Kafka broker", timeout_sec=START_TIMEOUT_SEC)

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """The broker that runs in `directory`, if one does."""
        known = recall(directory.resolve(), "kafka")
        return None if known is None else cls(directory.resolve(), known)


@dataclass(frozen=True, slots=True)
class ClickHouseServer(_Service):
    """A ClickHouse server with one user without a password. A context manager that stops it at the end."""

    @property
    def port(self) -> int:
        """The native protocol's port, for clickhouse-driver."""
        return self.process.ports["native"]

    @property
    def http_port(self) -> int:
        """The HTTP port, for health checks and curl."""
        return self.process.ports["http"]

    @property
    def url(self) -> str:
        """`clickhouse://` address for the store."""
        return f"clickhouse://default@127.0.0.1:{self.port}/default"

    @classmethod
    def start(cls, directory: Path, *, port: int | None = None, http_port: int | None = None) -> Self:
        """
        Start a server with its data under `directory`, or return the one that runs there.

        Works with Debian's 18.16 and with later ones, where the program is `clickhouse`.
        Raises ServiceError that names what to install.
        """
        directory = directory.resolve()
        known = recall(directory, "clickhouse")
        if known is not None:
            return cls(directory, known)
        command = _clickhouse_command()
        for folder in ("data/tmp", "data/user_files", "data/format_schemas", "logs"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        free = free_ports(2)
        ports = {"native": port or free[0], "http": http_port or free[1]}
        for taken in ports.values():
            refuse_taken_port(taken, what="ClickHouse")
        values = {"port": ports["native"], "http_port": ports["http"]}
        folders = {"data_dir": directory / "data", "log_dir": directory / "logs"}
        _fill(HERE / "clickhouse" / "config.xml", directory / "config.xml", {**values, **folders})
        _fill(HERE / "clickhouse" / "users.xml", directory / "users.xml", {})
        process = spawn(
            [*command, f"--config-file={directory / 'config.xml'}"],
            directory=directory,
            name="clickhouse",
            ports=ports,
        )
        wait_for_port(process, ports["native"], what="ClickHouse", timeout_sec=START_TIMEOUT_SEC)
        return cls(directory, process)

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """The server that runs in `directory`, if one does."""
        known = recall(directory.resolve(), "clickhouse")
        return None if known is None else cls(directory.resolve(), known)


def _clickhouse_command() -> list[str]:
    server = find_program("clickhouse-server", places=SYSTEM_SBIN)
    if server is not None:
        return [server]
    single = find_program("clickhouse")
    if single is not None:
        return [single, "server"]
    raise ServiceError(CLICKHOUSE_HINT)


def _format_storage(tool: Sequence[str], properties: Path, directory: Path, cluster_id: str) -> None:
    account = f"{MECHANISM}=[name={USER},password={PASSWORD}]"
    process = spawn(
        [*tool, "format", "-t", cluster_id, "-c", str(properties), "--add-scram", account],
        directory=directory,
        name="format",
        ports={},
    )
    if not wait_until(lambda: not process.alive(), timeout_sec=START_TIMEOUT_SEC):
        process.stop()
    if not (directory / "data" / "meta.properties").exists():
        raise ServiceError(f"Kafka could not format {directory / 'data'}; see {process.log}")


def _fill(template: Path, target: Path, values: dict[str, object]) -> None:
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    target.write_text(text, encoding="utf-8")
