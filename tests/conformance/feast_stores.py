"""What Feast's own tests of online stores need to run against ours: a store creator and a pytest plugin.

`scripts/feast_conformance` runs them. Feast imports this module by the name in FULL_REPO_CONFIGS_MODULE.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import uuid
from typing import Any
from unittest.mock import MagicMock

import psycopg
import pytest

NOT_ABOUT_OURS = {
    "test_entity_ttl_online_store": "sets an option of Feast's Redis store",
    "test_async_online_retrieval_with_event_timestamps_dynamo": "starts DynamoDB in Docker",
    "test_push_features_and_read_async_dynamodb": "starts DynamoDB in Docker",
}


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what Feast's tests import for stores in Docker and in clouds, and then do not use here."""

    packages = frozenset(
        ("testcontainers", "keycloak", "minio", "docker", "google.cloud", "botocore", "aiobotocore", "boto3")
    )

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if self.packages & {name.partition(".")[0], ".".join(name.split(".")[:2])}:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> Any:
        made = MagicMock(name=spec.name)
        made.__spec__, made.__path__ = spec, []
        made.BotoCoreError = OSError
        return made

    def exec_module(self, module: Any) -> None:
        """Leave it empty."""


sys.meta_path.append(_Absent())

from tests.universal.feature_repos.universal.data_sources.file import FileDataSourceCreator  # noqa: E402
from tests.universal.feature_repos.universal.online_store_creator import OnlineStoreCreator  # noqa: E402


class WideOnlineStoreCreator(OnlineStoreCreator):  # type: ignore[misc]
    """Makes a database for one test; `CONFORMANCE_STORE=postgres` tests Feast's own store, to compare."""

    def __init__(self, project_name: str, **_: Any) -> None:
        super().__init__(project_name)
        self.name = f"feast_{uuid.uuid4().hex[:8]}"
        self.server = {
            "host": "127.0.0.1",
            "port": int(os.environ["CONFORMANCE_PORT"]),
            "user": "streamflow",
            "password": os.environ["CONFORMANCE_PASSWORD"],
        }

    def _run(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(**self.server, dbname=database, autocommit=True) as connection:
            connection.execute(statement)

    def create_online_store(self) -> dict[str, Any]:
        self._run(f"CREATE DATABASE {self.name}")
        self._run("CREATE SCHEMA online", self.name)
        kind = os.environ.get("CONFORMANCE_STORE", "streamflow.features.online_store.WideOnlineStore")
        return {
            **self.server,
            "type": kind,
            "database": self.name,
            "db_schema": "online",
            "sslmode": "disable",
        }

    def teardown(self) -> None:
        self._run(f"DROP DATABASE {self.name} WITH (FORCE)")


class _Stores(dict):  # type: ignore[type-arg]
    """Ours under the names of the stores that Feast's tests are limited to; once, where they are limited to none."""

    def values(self) -> Any:
        return [_OURS]


_OURS = ("ours", WideOnlineStoreCreator)
AVAILABLE_ONLINE_STORES = _Stores(dict.fromkeys(("redis", "postgres", "sqlite", "mongodb"), _OURS))
AVAILABLE_OFFLINE_STORES = [("local", FileDataSourceCreator)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out a test's second and third run with ours under another name, and tests of other stores."""
    seen: set[str] = set()
    kept = []
    for item in items:
        name = item.nodeid.rstrip("0123456789]")
        if reason := NOT_ABOUT_OURS.get(getattr(item, "originalname", item.name)):
            item.add_marker(pytest.mark.skip(reason=reason))
        if name not in seen:
            kept.append(item)
        seen.add(name)
    items[:] = kept


def pytest_collection_finish() -> None:
    """Undo what keeps clouds out at the import: several tests would end at once, as passed."""
    os.environ.pop("FEAST_IS_LOCAL_TEST", None)
