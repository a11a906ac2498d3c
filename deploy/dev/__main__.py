"""
`python -m deploy.dev start|stop|status [kafka] [clickhouse]`: development services by hand.

They run in the background with their data under `.redline/dev`; `stop` ends
them, a later `start` finds the data again.
"""

import argparse
import sys
from pathlib import Path

from deploy.dev.kafka_home import REPOSITORY, jars
from deploy.dev.process import ServiceError
from deploy.dev.services import ClickHouseServer, KafkaBroker

KAFKA_PORT = 9092
CLICKHOUSE_PORT = 9000
CLICKHOUSE_HTTP_PORT = 8123
SERVICES = ("kafka", "clickhouse")


def start(service: str, directory: Path) -> str:
    """Start one service on its usual port and say where it listens."""
    if service == "kafka":
        broker = KafkaBroker.start(directory / "kafka", port=KAFKA_PORT)
        return f"kafka       {broker.bootstrap}   log {broker.log}"
    server = ClickHouseServer.start(
        directory / "clickhouse", port=CLICKHOUSE_PORT, http_port=CLICKHOUSE_HTTP_PORT
    )
    return f"clickhouse  {server.url}   log {server.log}"


def find(service: str, directory: Path) -> KafkaBroker | ClickHouseServer | None:
    """The running service, or None."""
    if service == "kafka":
        return KafkaBroker.find(directory / "kafka")
    return ClickHouseServer.find(directory / "clickhouse")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when it did what was asked, 2 when a service cannot start."""
    parser = argparse.ArgumentParser(prog="python -m deploy.dev", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status", "fetch"])
    parser.add_argument("service", nargs="*", default=list(SERVICES), help="kafka, clickhouse; default both")
    parser.add_argument("--directory", type=Path, default=REPOSITORY / ".redline" / "dev")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.service) - set(SERVICES))
    if unknown:
        parser.error(f"unknown service {unknown[0]!r}; there are {', '.join(SERVICES)}")
    try:
        if given.action == "fetch":
            print(jars())  # noqa: T201 - this is the command's output
            return 0
        for service in given.service:
            print(_act(given.action, service, given.directory), flush=True)  # noqa: T201
    except ServiceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _act(action: str, service: str, directory: Path) -> str:
    if action == "start":
        return start(service, directory)
    found = find(service, directory)
    if found is None:
        return f"{service:<11} not running"
    if action == "stop":
        found.stop()
        return f"{service:<11} stopped"
    return f"{service:<11} running, process {found.process.pid}, log {found.log}"


if __name__ == "__main__":
    sys.exit(main())
