"""The desk store: cases, decisions, users and the audit chain in SQLite or PostgreSQL."""
