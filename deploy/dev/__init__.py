"""Development services: real Kafka and ClickHouse on loopback, without root or Docker."""
