"""Feast's configuration of an online store in a test's database."""

from feast.repo_config import RepoConfig


def store_config(database, kind: str) -> RepoConfig:
    store = {
        "type": kind,
        "host": database.host,
        "port": database.port,
        "database": database.name,
        "db_schema": "online",
        "user": database.user,
        "password": database.secret,
        "sslmode": "disable",
    }
    return RepoConfig(
        project="p",
        provider="local",
        registry="unused.db",
        online_store=store,
        entity_key_serialization_version=3,
    )
