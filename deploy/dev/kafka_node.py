"""What one node of the development Kafka is told: its listeners, its cluster, its certificates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.dev.certificates import Certificates
from streams.broker import Broker
from streams.security import KafkaSecurity, Mechanism

HOST = "127.0.0.1"
# The account of the SASL listener. A development broker on loopback: nothing to keep secret.
USER = "redline"
PASSWORD = "for-development-only"  # noqa: S105
MECHANISM: Mechanism = "SCRAM-SHA-512"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """
    One node: `ports` has `broker` and `controller`, and with certificates `sasl` and `mutual`.

    `voters` are the controller's ports of all nodes by node id.
    """

    ports: Mapping[str, int]
    data_dir: Path
    node_id: int = 1
    voters: Mapping[int, int] = field(default_factory=dict)
    certificates: Certificates | None = None

    def values(self) -> dict[str, object]:
        """What fills the words in `kafka/server.properties`."""
        voters = self.voters or {self.node_id: self.ports["controller"]}
        listeners = {"PLAINTEXT": self.ports["broker"]}
        if self.certificates is not None:
            listeners |= {"SASL": self.ports["sasl"], "MUTUAL": self.ports["mutual"]}
        written = [f"{name}://{HOST}:{port}" for name, port in listeners.items()]
        return {
            "node_id": self.node_id,
            "voters": ",".join(f"{node}@{HOST}:{port}" for node, port in voters.items()),
            "listeners": ",".join([*written, f"CONTROLLER://{HOST}:{self.ports['controller']}"]),
            "advertised": ",".join(written),
            "data_dir": self.data_dir,
            "replicas": len(voters),
            # With three replicas one may be away, and what is acknowledged is still with two.
            "min_isr": max(1, len(voters) - 1),
            "security": "\n".join(_security_lines(self.certificates)) if self.certificates else "",
        }


def with_password(port: int, certificates: Certificates) -> Broker:
    """How a client connects to the listener with TLS and SCRAM."""
    security = KafkaSecurity(
        "SASL_SSL", certificates.ca, mechanism=MECHANISM, username=USER, password=PASSWORD
    )
    return Broker(f"{HOST}:{port}", security)


def with_certificate(port: int, certificates: Certificates) -> Broker:
    """How a client connects to the listener that asks for a client's certificate."""
    security = KafkaSecurity(
        "SSL", certificates.ca, cert_file=certificates.client_cert, key_file=certificates.client_key
    )
    return Broker(f"{HOST}:{port}", security)


def _security_lines(certificates: Certificates) -> list[str]:
    return [
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={certificates.broker}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={certificates.ca}",
        "listener.name.mutual.ssl.client.auth=required",
        f"listener.name.sasl.sasl.enabled.mechanisms={MECHANISM}",
        f"listener.name.sasl.{MECHANISM.lower()}.sasl.jaas.config={SCRAM_LOGIN} required;",
    ]
