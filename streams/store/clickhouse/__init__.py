"""The event store on ClickHouse 18.16 and later."""
