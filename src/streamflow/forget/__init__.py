"""Erase a person everywhere: PostgreSQL, the list beside the backups, and the runs in MLflow."""
