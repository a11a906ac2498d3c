"""A test that starts a real service says so by its marker, so that people can choose what to run."""

import pytest

from tests.service_fixtures import (
    clickhouse,
    clickhouse_server,
    kafka_broker,
    kafka_cluster,
    own_kafka,
    running_kafka,
)

# The shared suites assert, too: let pytest show what differed.
pytest.register_assert_rewrite("tests.integration.engine_suite", "tests.integration.broker_tools")

__all__ = ["clickhouse", "clickhouse_server", "kafka_broker", "kafka_cluster", "own_kafka", "running_kafka"]

MARKERS = {
    "running_kafka": "kafka",
    "own_kafka": "kafka",
    "kafka_cluster": "kafka",
    "clickhouse_server": "clickhouse",
    "postgres_url": "postgres",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wrong = [
        f"{item.nodeid} uses {fixture}: mark it with @pytest.mark.{marker}"
        for item in items
        for fixture, marker in MARKERS.items()
        if fixture in getattr(item, "fixturenames", ()) and item.get_closest_marker(marker) is None
    ]
    if wrong:
        raise pytest.UsageError("\n".join(wrong))
