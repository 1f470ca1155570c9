"""Erase a person, or old months, everywhere: PostgreSQL, the list beside the backups, the lake, and runs in MLflow."""
