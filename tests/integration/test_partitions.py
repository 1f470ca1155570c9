"""Source tables are partitioned by as-of: earlier ones are converted, and a query reads its months alone."""

from datetime import date, timedelta

import prepared
import pytest
import sqlalchemy as sa

from earlier_revisions import undo_complete_scores, undo_partitions, undo_shards
from source_rows import add_drop
from streamflow.apply import apply
from streamflow.drops import chain, partitions, rows, store, tables
from streamflow.drops.load import Into, load
from streamflow.drops.rows import InTables
from streamflow.errors import Refused
from streamflow.features import one_time_join, training_set
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres import catalog, drop_numbers
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.repo import definitions
from streamflow.schema import migrate, prepare, roles
from streamflow.snapshots import views
from streamflow.times import midnight

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


@pytest.fixture(scope="module")
def drops(tmp_path_factory, feature_repo):
    """Two months of 60 users, and a correction of the first with other values."""
    folder = tmp_path_factory.mktemp("drops")
    months = simulate(feature_repo, folder / "months", Simulation(users=60, months=2))
    (correction,) = simulate(feature_repo, folder / "correction", Simulation(users=50, months=1, seed=7))
    return [*months, correction]


@pytest.fixture
def loaded(settings, drops):
    apply(settings)
    ingest(settings, drops)
    return settings


def ingest(settings, drops):
    repo = definitions.load(settings.feast.repo)
    for drop in drops:
        load(Into(settings.database, InTables()), settings.ingest, repo, drop.folder, drop.as_of, "tests")


def contents(settings):
    """The rows of every snapshot view, and the columns in their order."""
    with transaction(settings.database) as connection:
        return {
            table.snapshots: (
                list(catalog.columns(connection, "features", [table.snapshots])[table.snapshots]),
                sorted(
                    map(str, connection.exec_driver_sql(f"SELECT * FROM features.{table.snapshots}").all())
                ),
            )
            for table in definitions.load(settings.feast.repo).tables
        }


def make_earlier(settings):
    """Turn a database into one of revision 0019, whose source tables are not partitioned."""
    with transaction(settings.database) as connection:
        undo_complete_scores(connection)
        undo_shards(connection)
        for table in definitions.load(settings.feast.repo).tables:
            name, view = quote("source", table.name), f"features.{table.snapshots}"
            key = quote(table.key)
            connection.exec_driver_sql(f"CREATE TABLE source.former AS SELECT * FROM {view}")
            connection.exec_driver_sql(f"DROP VIEW {view}")
            connection.exec_driver_sql(f"DROP TABLE {name}")
            connection.exec_driver_sql(f"ALTER TABLE source.former RENAME TO {quote(table.name)}")
            connection.exec_driver_sql(
                f"ALTER TABLE {name} ALTER {key} SET NOT NULL, ALTER as_of SET NOT NULL, ALTER loaded_at SET NOT NULL,"
                f" ALTER drop_id SET NOT NULL, ADD UNIQUE ({key}, as_of, loaded_at)"
            )
            connection.exec_driver_sql(f"CREATE INDEX ON {name} USING brin (as_of)")
            connection.exec_driver_sql(f"CREATE VIEW {view} AS SELECT * FROM {name}")
            for trigger, when in tables._TRIGGERS.items():
                connection.exec_driver_sql(f"CREATE TRIGGER {trigger} {when.format(table=name)}")
        for function in ("add_partition", "index_partition"):
            connection.exec_driver_sql(f"DROP FUNCTION source.{function}")
        undo_partitions(connection)
        connection.exec_driver_sql("UPDATE streamflow.alembic_version SET version_num = '0019'")


def test_an_upgrade_partitions_the_tables_and_no_view_changes(loaded, drops):
    before = contents(loaded)
    hashes = chained(loaded)
    make_earlier(loaded)
    with transaction(loaded.database) as connection:
        connection.exec_driver_sql(
            "CREATE VIEW public.mine AS SELECT count(*) AS n FROM features.users_snapshots"
        )
        connection.exec_driver_sql("CREATE ROLE somebody_else")
        connection.exec_driver_sql("GRANT SELECT ON source.users, features.users_snapshots TO somebody_else")
    try:
        assert contents(loaded) == before
        assert migrate.migrate(loaded.database) == migrate.newest()
        # Until `features apply`, everything reads and erases the former tables.
        assert contents(loaded) == before
        assert known(loaded) == before["users_snapshots"][1]
        assert keys_of_entity_tables(loaded)["source.users"] == "user_id"
        apply(loaded)
        assert contents(loaded) == before
        assert known(loaded) == before["users_snapshots"][1]
        assert chained(loaded) == hashes
        chain.verify(loaded.database)
        assert keys_of_entity_tables(loaded)["source.users"] == "user_id"
        assert partitions_of(loaded, "users") == ["users_2024_01_31", "users_2024_02_29"]
        with transaction(loaded.database) as connection:
            assert connection.exec_driver_sql("SELECT n FROM public.mine").scalar_one() == 170
            for table in ("source.users", "features.users_snapshots"):
                assert ("SELECT", "somebody_else") in catalog.grants(connection, table)
            assert tables.unguarded(connection) == ()
            # Again: there is nothing left to do.
            partitions.convert(connection)
    finally:
        with transaction(loaded.database) as connection:
            connection.exec_driver_sql("DROP OWNED BY somebody_else; DROP ROLE somebody_else")
    (more,) = simulate(
        loaded.feast.repo, loaded.home / "more", Simulation(users=40, months=1, first_as_of=date(2024, 3, 31))
    )
    ingest(loaded, [more])
    assert len(contents(loaded)["users_snapshots"][1]) == 210


def chained(settings):
    with transaction(settings.database) as connection:
        return connection.exec_driver_sql("SELECT * FROM streamflow.drop_chain ORDER BY position").all()


def known(settings):
    """Rows of users in views that are limited to the present."""
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        newest = connection.exec_driver_sql("SELECT max(loaded_at) FROM streamflow.drops").scalar_one()
    with (
        views.frozen(settings.database, repo, newest) as schema,
        transaction(settings.database) as connection,
    ):
        rows = connection.exec_driver_sql(f"SELECT * FROM {schema}.users_snapshots").all()
    return sorted(map(str, rows))


def keys_of_entity_tables(settings):
    with transaction(settings.database) as connection:
        rows = connection.exec_driver_sql("SELECT relation::text, key_column FROM streamflow.entity_tables()")
        return dict(map(tuple, rows))


def partitions_of(settings, table):
    with transaction(settings.database) as connection:
        statement = sa.text(
            "SELECT inhrelid::regclass::name FROM pg_inherits WHERE inhparent = to_regclass(:table)"
            " ORDER BY inhrelid::regclass::text"
        )
        found = connection.execute(statement, {"table": f"source.{table}"}).scalars()
        return [name.removeprefix("source.") for name in found]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("UPDATE source.users SET loaded_at = loaded_at + interval '1 s' WHERE user_id = (SELECT max(user_id) FROM"
         " source.users)", "have the dates of no drop"),
        ("CREATE VIEW public.mine AS SELECT * FROM source.users", "Views depend on"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_converted_stays_as_it_is(loaded, spoil, why):
    make_earlier(loaded)
    migrate.migrate(loaded.database)
    with transaction(loaded.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(spoil)
    before = contents(loaded)
    with pytest.raises(Refused, match=why):
        apply(loaded)
    assert contents(loaded) == before


def scanned(settings, query, **parameters):
    """Source tables that a query reads, without their month, and the months that it reads of them."""
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(
            "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL search_path = features"
        )
        (plan,) = connection.execute(
            sa.text(f"EXPLAIN (ANALYZE, FORMAT json) {query}"), parameters
        ).scalar_one()
    return {name[-10:] for name in _relations(plan["Plan"]) if name[-10:-6].isdigit()}


def _relations(node):
    if node.get("Schema", "source") == "source" and "Relation Name" in node and node["Actual Loops"]:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _relations(child)


def test_queries_read_the_months_that_they_ask_for(loaded):
    view = "features.usage_agg_30d_snapshots"
    january, february = midnight(JANUARY), midnight(FEBRUARY)
    for condition, months in (
        ("as_of = :at", {"2024_02_29"}),
        ("as_of BETWEEN :at AND :at", {"2024_02_29"}),
        ("as_of > TIMESTAMPTZ '2024-01-31 00:00:00+00'", {"2024_02_29"}),
        ("as_of = TIMESTAMPTZ '2024-02-29T00:00:00+00:00' AND loaded_at <= now()", {"2024_02_29"}),
        ("as_of <= :at", {"2024_01_31", "2024_02_29"}),
    ):
        parameters = {"at": february} if ":at" in condition else {}
        assert scanned(loaded, f"SELECT * FROM {view} WHERE {condition}", **parameters) == months
    assert scanned(loaded, f"SELECT * FROM {view} WHERE as_of <= :at", at=january) == {"2024_01_31"}
    assert scanned(loaded, f"SELECT * FROM {view} WHERE as_of = :at", at=january - timedelta(days=1)) == set()


def test_a_repo_may_add_a_column_to_a_partitioned_table(loaded):
    with transaction(loaded.database) as connection:
        connection.exec_driver_sql("ALTER TABLE source.users ADD COLUMN later bigint")
        columns = catalog.columns(connection, "source")
    assert columns["users_2024_01_31"] == columns["users"]


@pytest.mark.parametrize(
    "as_of", [date(1678, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2261, 12, 31)]
)
def test_a_number_says_the_date_of_its_drop(settings, as_of):
    with transaction(settings.database) as connection:
        number = add_drop(connection, "a drop", midnight(as_of))
        assert number == drop_numbers.of(as_of, 1)
        statement = f"SELECT {drop_numbers.as_of()} FROM streamflow.drops"
        assert connection.exec_driver_sql(statement).scalar_one() == midnight(as_of)


def test_no_more_drops_of_a_date_than_can_be_numbered(settings):
    drop = store.Drop("d", JANUARY, drop_numbers.MOST_DROPS + 1, "d", "tests", "x")
    with (
        transaction(settings.database) as connection,
        pytest.raises(Refused, match="4095 drops as of 2024-01-31"),
    ):
        store.store(connection, rows.InTables(), drop, [], print)


def test_names_of_partitions_fit_postgresql(settings):
    long = "a" * 60
    with transaction(settings.database) as connection:
        partitions.ensure_functions(connection)
        for table in (long, long[:-1] + "b"):
            partitions.create(connection, table, "k", {"n": "bigint"})
        number = add_drop(connection, "a drop", midnight(JANUARY))
        for table in (long, long[:-1] + "b"):
            partitions.add(connection, table, number)
            connection.exec_driver_sql(f"INSERT INTO source.{table} (k, drop_number) VALUES ('x', {number})")
            assert connection.exec_driver_sql(f"SELECT k FROM source.{table}").scalars().all() == ["x"]


def test_training_reads_the_window_of_its_views(loaded):
    """Feast's own query and the one of training, planned as training has them planned."""
    repo = definitions.load(loaded.feast.repo)
    store_ = training_set.open_store(
        loaded.database, loaded.feast.repo, db_schema=training_set.planned("features")
    )
    entities = f"SELECT user_id, TIMESTAMPTZ '{midnight(JANUARY).isoformat()}' AS event_timestamp FROM"
    entities += f" features.labels_snapshots WHERE as_of = TIMESTAMPTZ '{midnight(JANUARY).isoformat()}'"
    own = one_time_join.EntitiesAt(
        entities, timestamp="event_timestamp", moment=midnight(JANUARY), others=("user_id",)
    )
    for query in (entities, own):
        job = store_.get_historical_features(features=["usage_agg_30d_fv:skips_7d"], entity_df=query)
        assert scanned(loaded, job.to_sql()) == {"2024_01_31"}
    assert repo.view("usage_agg_30d_fv").ttl


def forget(settings):
    with transaction(settings.database) as connection:
        return dict(connection.exec_driver_sql("SELECT counts FROM streamflow.forget_months(1)").scalar_one())


def rows_by_month(settings):
    with transaction(settings.database) as connection:
        statement = f"SELECT {drop_numbers.as_of()}::date, count(*) FROM source.users GROUP BY 1"
        return dict(map(tuple, connection.exec_driver_sql(statement)))


@pytest.mark.parametrize("style", ["ISO, MDY", "SQL, DMY", "German"])
def test_old_months_go_with_their_partitions(loaded, style):
    with transaction(loaded.database) as connection:
        connection.exec_driver_sql(f"SET LOCAL datestyle = '{style}'; SET LOCAL timezone = 'Asia/Kolkata'")
        found = dict(
            connection.exec_driver_sql("SELECT counts FROM streamflow.forget_months(1)").scalar_one()
        )
        assert connection.exec_driver_sql("SHOW datestyle").scalar_one() == style.replace(
            "German", "German, DMY"
        )
    assert found["source.users"] == 110
    for table in definitions.load(loaded.feast.repo).tables:
        assert partitions_of(loaded, table.name) == [f"{table.name}_2024_02_29"]
    assert rows_by_month(loaded) == {FEBRUARY: 60}
    assert forget(loaded) == {}


def test_a_month_that_somebody_is_reading_is_emptied_instead(loaded):
    with transaction(loaded.database) as reader:
        reader.exec_driver_sql("SELECT count(*) FROM source.users").all()
        assert forget(loaded)["source.users"] == 110
    assert partitions_of(loaded, "users") == ["users_2024_01_31", "users_2024_02_29"]
    assert partitions_of(loaded, "labels") == ["labels_2024_02_29"]
    assert rows_by_month(loaded) == {FEBRUARY: 60}
    assert forget(loaded) == {}
    assert partitions_of(loaded, "users") == ["users_2024_02_29"]


def test_a_month_is_loaded_again_after_it_was_dropped(loaded, drops):
    forget(loaded)
    with transaction(loaded.database) as connection:
        number = add_drop(connection, "again", midnight(JANUARY))
        connection.exec_driver_sql(f"INSERT INTO source.users (user_id, drop_number) VALUES ('x', {number})")
    assert rows_by_month(loaded) == {JANUARY: 1, FEBRUARY: 60}


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER t AFTER DELETE ON source.users_2024_01_31 FOR EACH ROW EXECUTE FUNCTION public.evil()",
        "CREATE RULE r AS ON DELETE TO source.users_2024_01_31 DO ALSO NOTHING",
        "ALTER TABLE source.users_2024_01_31 ENABLE ROW LEVEL SECURITY",
        "DROP INDEX source.users_user_id_idx",
    ],
)
def test_nobody_is_erased_from_a_table_with_a_partition_whose_owner_could_have_code_run(loaded, planted):
    with transaction(loaded.database) as connection:
        connection.exec_driver_sql("CREATE ROLE somebody_else")
        connection.exec_driver_sql(
            "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        connection.exec_driver_sql("ALTER FUNCTION public.evil OWNER TO somebody_else")
        connection.exec_driver_sql(planted)
        with (
            pytest.raises(sa.exc.DBAPIError, match="of its own: nothing was erased"),
            connection.begin_nested(),
        ):
            connection.exec_driver_sql("SELECT streamflow.count_entity('x')")
        connection.rollback()


def test_a_person_is_found_in_few_blocks_of_a_month(settings):
    """By the index of blocks, which a load has entered its rows into."""
    apply(settings)
    with transaction(settings.database) as connection:
        number = add_drop(connection, "many", midnight(JANUARY))
        connection.exec_driver_sql(
            "INSERT INTO source.users (user_id, drop_number)"
            f" SELECT to_char(n, 'FM000000'), {number} FROM generate_series(1, 50000) AS n"
        )
        partitions.index(connection, "users", number)
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        statement = (
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT FROM source.users WHERE user_id = '031415'"
        )
        (plan,) = connection.exec_driver_sql(statement).scalar_one()
        whole = connection.exec_driver_sql(
            "SELECT pg_relation_size('source.users_2024_01_31') / 8192"
        ).scalar_one()
    read = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    assert 0 < read < whole / 5


@pytest.mark.parametrize("install", [prepared.by_the_job, prepared.by_hand])
def test_under_roles_features_apply_converts_and_ingest_adds_months(module_settings, drops, install):
    admin = prepared.named(module_settings)
    install(admin, PASSWORDS, apply)
    try:
        ingest(prepared.as_role(admin, PASSWORDS, "ingest"), drops[:1])
        before = contents(admin)
        make_earlier(admin)
        with transaction(admin.database) as connection:
            for relation in catalog.relations(connection, ["source", "features"]):
                owner = quote(f"{admin.database.role_prefix}feast_apply")
                name = quote(relation.schema, relation.name)
                connection.exec_driver_sql(f"ALTER TABLE {name} OWNER TO {owner}")
        migrate.migrate(prepared.as_role(admin, PASSWORDS, "owner").database)
        prepare.grant(admin.database)
        with pytest.raises(Refused, match="has not been partitioned yet"):
            ingest(prepared.as_role(admin, PASSWORDS, "ingest"), drops[1:])
        apply(prepared.as_role(admin, PASSWORDS, "feast_apply"))
        if install is prepared.by_the_job:
            prepare.finish(admin.database, admin.feast.repo, {})
        else:
            owner = prepared.as_role(admin, PASSWORDS, "owner").database
            prepare.finish(owner, admin.feast.repo, PASSWORDS, with_roles=False)
        assert contents(admin) == before
        ingest(prepared.as_role(admin, PASSWORDS, "ingest"), drops[1:])
        with transaction(prepared.as_role(admin, PASSWORDS, "train").database) as connection:
            statement = "SELECT count(*) FROM features.users_snapshots"
            assert connection.exec_driver_sql(statement).scalar_one() == 170
        with transaction(prepared.as_role(admin, PASSWORDS, "erase").database) as connection:
            person = before["users_snapshots"][1][0].split("'")[1]
            count = sa.text("SELECT streamflow.count_entity(:person)")
            assert connection.execute(count, {"person": person}).scalar_one()["source.users"] >= 2
            found = connection.exec_driver_sql("SELECT counts FROM streamflow.forget_months(1)").scalar_one()
        assert found["source.users"] == 110
        assert rows_by_month(admin) == {FEBRUARY: 60}
    finally:
        prepared.remove(admin, PASSWORDS)
