"""The report of a month: one HTML page from the verdicts in PostgreSQL."""
