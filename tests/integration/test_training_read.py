"""How PostgreSQL is asked for a training set."""

from feast.infra.utils.postgres.connection_utils import _get_conn

from streamflow.features.store import open_store
from streamflow.features.training_set import planned


def test_the_point_in_time_join_reads_the_given_schema_and_never_compares_each_row_with_each(settings):
    """Feast has no setting for it, so this holds what of its inside is relied upon."""
    store = open_store(settings, db_schema=planned("known_something"))
    with _get_conn(store.config.offline_store) as connection:
        path, loops = connection.execute(
            "SELECT current_setting('search_path'), current_setting('enable_nestloop')"
        ).fetchone()
    assert (path, loops) == ("known_something,public", "off")
