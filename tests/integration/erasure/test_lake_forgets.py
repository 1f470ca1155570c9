"""A person, and old months, are removed from the files of the lake; a removal that was cut short is completed."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from a_person import PERSON, name_person

from streamflow.erasure.acts import Asked
from streamflow.errors import DependencyDown
from streamflow.forget import months, person
from streamflow.jobs.erase import places
from streamflow.jobs.ingest import ingest_folder
from streamflow.lake import forget, ledger, place, read, write
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import BackupSettings, ErasureSettings, LakeSettings

pytestmark = pytest.mark.postgres
ASKED = Asked("asked for it", "tests", "DSR-1")
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
RUNS = "Training sets of runs"  # MLflow is away in these tests


@pytest.fixture
def lived(settings, tmp_path):
    """Three months in a lake, with the person among them."""
    made = settings.model_copy(
        update={
            "engine": "spark",
            "lake": LakeSettings(url=str(tmp_path / "lake")),
            "backup": BackupSettings(folder=tmp_path / "backups"),
            "erasure": ErasureSettings(key="the key of the tests' list"),
        }
    )
    for drop in simulate(made.feast.repo, tmp_path / "drops", Simulation(users=120, months=3, seed=3)):
        name_person(drop.folder, 17)
        ingest_folder(made, drop.folder, drop.as_of)
    return made


def files(settings):
    return sorted(Path(settings.lake.url).rglob("*.parquet"))


def keys(path):
    return pq.read_table(path).column(0).to_pylist()


def dates(settings, table):
    opened = place.opened(settings.lake.url)
    with transaction(settings.database) as connection:
        drops = ledger.drops(connection, opened, table)
    return [of.as_of.month for of in drops]


def elsewhere(settings):
    """Settings whose lake cannot be read."""
    Path(settings.home / "file").write_text("no lake")
    return settings.model_copy(update={"lake": LakeSettings(url=str(settings.home / "file"))})


def test_a_person_is_gone_from_every_file_and_everybody_else_stays(lived):
    repo = definitions.load(lived.feast.repo)
    before = {path: pq.read_table(path) for path in files(lived)}
    expected = {f"lake.{table.name}": 3 for table in repo.tables}
    assert {
        name: n for name, n in person.look(places(lived), PERSON).rows.items() if "lake" in name
    } == expected
    assert {path: pq.read_table(path) for path in files(lived)} == before
    # What a killed process was writing names the person, too.
    orphan = files(lived)[0].with_name(f"{write.HIDDEN}part-00007.parquet")
    orphan.write_bytes(files(lived)[0].read_bytes())
    done = person.erase(places(lived), PERSON, ASKED)
    assert {name: n for name, n in done.rows.items() if "lake" in name} == expected
    assert [item for item in done.left if not item.startswith(RUNS)] == []
    assert not orphan.exists() and files(lived) == sorted(before)
    for path, rows in before.items():
        others = [key != PERSON for key in rows.column(0).to_pylist()]
        assert pq.read_table(path).equals(rows.filter(others))
    opened, table = place.opened(lived.lake.url), repo.entity_table
    with transaction(lived.database) as connection:
        drops = ledger.drops(connection, opened, table.name)
    assert read.history(opened, table, drops, [PERSON]).num_rows == 0


def test_an_erasure_without_the_lake_says_what_is_left_and_is_completed_by_the_hash_alone(lived):
    cut_short = person.erase(places(elsewhere(lived)), PERSON, ASKED)
    assert [item for item in cut_short.left if item.startswith("Files of the lake: The lake ")]
    assert any(PERSON in keys(path) for path in files(lived))
    (completed,) = person.complete(places(lived))
    assert completed.rows["lake.users"] == 3
    assert not any(PERSON in keys(path) for path in files(lived))


def test_a_file_is_replaced_whole_or_stays_as_it_is(lived, monkeypatch):
    opened, before = place.opened(lived.lake.url), {path: path.read_bytes() for path in files(lived)}
    written = pq.ParquetWriter.write_batch

    def fails(*arguments):
        written(*arguments)
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_batch", fails)
        with pytest.raises(DependencyDown, match="the power is gone"):
            forget.erase(opened, PERSON.__eq__, PERSON)
    assert {path: path.read_bytes() for path in before} == before
    assert forget.erase(opened, PERSON.__eq__, PERSON)["lake.users"] == 3
    assert all(path in before for path in Path(lived.lake.url).rglob("*.parquet"))


def test_old_months_are_gone_and_nobody_looks_for_them(lived):
    with pytest.raises(DependencyDown, match="gone from PostgreSQL, and left in the lake"):
        months.forget(lived.database, lived.mlflow, 2, elsewhere(lived).lake.url)
    assert dates(lived, "users") == [1, 2, 3]
    # MLflow is away, so that the training sets of runs are left.
    with pytest.raises(DependencyDown, match="the training sets of runs of before 2024-02 are left"):
        months.forget(lived.database, lived.mlflow, 2, lived.lake.url)
    assert {path.parts[-3] for path in files(lived)} == {"as_of=2024-02-29", "as_of=2024-03-31"}
    assert dates(lived, "users") == [2, 3]
    assert forget.months(place.opened(lived.lake.url), FEBRUARY) == {}


def test_a_removal_of_months_that_was_killed_is_repeated(lived):
    opened = place.opened(lived.lake.url)
    ledger.forget_before(opened, FEBRUARY)
    assert dates(lived, "users") == [2, 3]
    assert forget.months(opened, FEBRUARY)["lake.users"] == 120
    assert forget.months(opened, datetime(2024, 1, 1, tzinfo=UTC)) == {}
    assert ledger.forgotten_before(opened) == FEBRUARY
