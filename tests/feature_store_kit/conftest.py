"""The back ends that the kit is put to. This file and `backends/` alone know them."""

import importlib.util

import pytest


def _installed(package):
    return importlib.util.find_spec(package) is not None


BACKENDS = ["postgresql", *(["spark"] if _installed("pyspark") else [])]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """A back end; each test runs with all that are installed."""
    return request.getfixturevalue(f"{request.param}_backend")


@pytest.fixture
def postgresql_backend(settings):
    """PostgreSQL, with the stores and the engine of StreamFlow."""
    from backends.postgresql import PostgresqlBackend

    return PostgresqlBackend(settings.database)


@pytest.fixture(scope="session")
def kit_session():
    """Spark's session, shared by all tests."""
    from backends.spark import started

    return started()


@pytest.fixture
def spark_backend(settings, kit_session):
    """Spark, with the stores and the engine of StreamFlow, and PostgreSQL as the online store."""
    from backends.spark import SparkBackend

    return SparkBackend(settings.database, kit_session)
