"""The PostgreSQL settings under which Feast reads a training set."""

from feast.infra.utils.postgres.connection_utils import _get_conn

from streamflow.features.store import open_store
from streamflow.features.training_set import planned


def test_the_point_in_time_join_reads_the_given_schema_and_never_compares_each_row_with_each(settings):
    """Feast has no setting for this, so the test guards the Feast internals that `planned` relies on."""
    store = open_store(settings.database, settings.feast.repo, db_schema=planned("known_something"))
    with _get_conn(store.config.offline_store) as connection:
        path, loops = connection.execute(
            "SELECT current_setting('search_path'), current_setting('enable_nestloop')"
        ).fetchone()
    assert (path, loops) == ("known_something,public", "off")
