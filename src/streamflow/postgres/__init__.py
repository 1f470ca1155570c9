"""PostgreSQL: engine, locks, catalog, names."""
