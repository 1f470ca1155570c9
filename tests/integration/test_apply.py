"""`features apply` sees what Feast's own comparison does not, and refuses types that contradict the tables."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.apply import apply
from streamflow.errors import UsageError
from streamflow.features.store import open_store
from streamflow.postgres.engine import transaction
from streamflow.repo.snapshots import snapshots_of

OTHER_REPO = Path(__file__).resolve().parents[1] / "other_repo"


@pytest.fixture
def edited(settings, tmp_path):
    """Copy the other repo with some texts replaced, each in a file, and return settings that name the copy."""

    def copy(name, *replacements):
        folder = tmp_path / name
        shutil.copytree(OTHER_REPO, folder, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
        for file, old, new in replacements:
            text = (folder / file).read_text()
            assert old in text
            (folder / file).write_text(text.replace(old, new))
        return settings.model_copy(update={"feast": settings.feast.model_copy(update={"repo": folder})})

    return copy


def test_a_changed_table_of_a_source_reaches_the_registry_and_its_views(edited):
    assert apply(edited("before")).moved == ()
    changed = edited(
        "after",
        ("tables.py", '"sensor_snapshots"', '"sensor_readings"'),
        ("sources.py", 'table="sensor_snapshots"', 'table="sensor_readings"'),
    )
    assert apply(changed).moved == ("strain_fv",)
    store = open_store(changed.database, changed.feast.repo)
    assert snapshots_of(store.get_feature_view("strain_fv")) == "sensor_readings"
    assert store.get_data_source("sensor_snapshots").get_table_query_string() == "sensor_readings"
    assert apply(changed).moved == ()


def test_types_that_contradict_the_tables_are_refused_and_named(edited):
    apply(edited("before"))
    changed = edited(
        "after",
        ("tables.py", '"hot_starts": column("Int64"', '"hot_starts": column("Float64"'),
        ("feature_views.py", '"hot_starts", dtype=Int64', '"hot_starts", dtype=Float64'),
    )
    with pytest.raises(UsageError) as refused:
        apply(changed)
    assert refused.value.details == (
        "source.sensors.hot_starts is bigint, and tables.py declares double precision",
        "online.strain_fv.hot_starts is bigint, and feature_views.py declares double precision",
    )


def test_a_type_that_contradicts_the_declaration_is_refused_before_anything_is_created(edited):
    settings = edited("wrong", ("feature_views.py", '"icing", dtype=Bool', '"icing", dtype=Int64'))
    with pytest.raises(UsageError) as refused:
        apply(settings)
    assert "'strain_fv:icing' has the type Int64" in refused.value.details[0]
    with transaction(settings.database) as connection:
        created = sa.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'source'")
        assert connection.execute(created).scalar_one() == 0
