"""Access to PostgreSQL: connections, advisory locks, the catalog, names, and the results of jobs."""
