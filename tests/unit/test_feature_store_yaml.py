"""feature_store.yaml gives Feast's own commands and streamflow the same database, whatever its password looks like."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from feast.repo_config import load_repo_config

from streamflow import settings as settings_module
from streamflow.repo import feast_config
from streamflow.servers import feast_environment

REPO = Path(__file__).parents[2] / "feature_repo"
PASSWORD = "p@ss /wo:rd%25$"


@pytest.fixture
def settings():
    return settings_module.load(database={"password": PASSWORD}, feast={"repo": REPO})


def passwords(config):
    return (
        sa.make_url(config.registry.path).password,
        config.offline_store.password,
        config.online_store.password,
    )


def test_streamflow_reads_the_password_as_it_is(settings):
    assert passwords(feast_config.read(settings.feast.repo, settings.database)) == (PASSWORD,) * 3


def test_feast_reads_the_password_as_it_is(settings, monkeypatch):
    for name, value in feast_environment(settings).items():
        monkeypatch.setenv(name, value)
    config = load_repo_config(REPO, REPO / "feature_store.yaml")
    assert passwords(config) == (PASSWORD,) * 3
