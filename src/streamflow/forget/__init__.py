"""Erase a person, or old months, everywhere: PostgreSQL, the list beside the backups, and the runs in MLflow."""
