"""Where messages and verdicts are kept: one protocol, SQLite for one machine, ClickHouse for many."""
