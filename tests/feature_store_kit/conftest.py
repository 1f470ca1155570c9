"""The back ends that the kit is put to. This file and `backends/` alone know them."""

import pytest

BACKENDS = ["postgresql"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """A back end; each test runs with all that are installed."""
    return request.getfixturevalue(f"{request.param}_backend")


@pytest.fixture
def postgresql_backend(settings):
    """PostgreSQL, with the stores and the engine of StreamFlow."""
    from backends.postgresql import PostgresqlBackend

    return PostgresqlBackend(settings.database)
