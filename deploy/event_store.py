"""Opens the event store that the settings name."""

from deploy.clock import utc_now
from deploy.settings import Settings
from streams.store.base import EventStore


def open_event_store(settings: Settings) -> EventStore:
    """ClickHouse where the settings name one, else the embedded SQLite file."""
    if settings.clickhouse:
        from streams.store.clickhouse.client import ClickHouseClient
        from streams.store.clickhouse.store import ClickHouseEventStore

        return ClickHouseEventStore(ClickHouseClient(settings.clickhouse), clock=utc_now)
    from streams.store.sqlite import SqliteEventStore

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return SqliteEventStore(settings.event_store_path)
