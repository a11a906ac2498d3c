from tests.service_fixtures import clickhouse, clickhouse_server, kafka_broker

__all__ = ["clickhouse", "clickhouse_server", "kafka_broker"]
