"""Migrations from SQL files form one line, and existing ones keep their ids. On a real PostgreSQL."""

import pytest
import sqlalchemy as sa

from earlier_revisions import undo_complete_scores, undo_partitions, undo_shards
from streamflow.postgres.engine import transaction
from streamflow.schema import migrate
from streamflow.schema.revisions import FOLDER, revisions

ERASING = (
    *(
        "erase",
        "withdraw_erasure",
        "erase_listed",
        "count_entity",
        "mentions",
        "remove_entity",
        "record_erasure",
    ),
    *(
        "record_erasure_step",
        "record_erased_run",
        "require_plain",
        "require_unnamed",
        "require_owner",
        "require_eraser",
        "require_erasing",
        "entity_tables",
    ),
    *("quoted_in", "fields_of", "erasure_key_id", "erased_hash"),
)
MIGRATED_BEFORE = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")


def test_the_revisions_of_existing_databases_keep_their_ids_and_order():
    newest_first = list(revisions().iterate_revisions("head", "base"))
    ids = [script.revision for script in reversed(newest_first)]
    assert tuple(ids[: len(MIGRATED_BEFORE)]) == MIGRATED_BEFORE
    assert [script.down_revision for script in reversed(newest_first)] == [None, *ids[:-1]]


def test_every_file_is_a_revision_with_a_description():
    assert [script.doc for script in revisions().iterate_revisions("head", "base") if not script.doc] == []
    assert len(list(FOLDER.glob("*.sql"))) == len(list(revisions().iterate_revisions("head", "base")))


def undo_evidence(connection):
    """What 0012 added."""
    functions = (
        "append_promotion", "open_known", "close_known", "is_owner", "sign_row", "was_given", "refuse_unless_erasing",
        "refuse_foreign_code", "drop_hash", "link_drop", "sign_drop", "chain_drop", "check_parts", "check_source_rows",
        "may_record", "sign_run", "check_least",
    )  # fmt: skip
    for function in functions:
        connection.execute(sa.text(f"DROP FUNCTION streamflow.{function} CASCADE"))
    tables = ("row_locks", "known_schemas", "given_stamps", "drop_chain", "job_logins", "least_kept")
    for table in tables:
        connection.execute(sa.text(f"DROP TABLE streamflow.{table}"))
    connection.execute(sa.text("DROP TRIGGER drop_files_append_only ON streamflow.drop_files"))
    for table in ("drops", "job_runs"):
        connection.execute(sa.text(f"ALTER TABLE streamflow.{table} DROP COLUMN login"))


@pytest.mark.postgres
def test_a_database_at_an_earlier_revision_gets_the_later_ones_alone(settings):
    with transaction(settings.database) as connection:
        undo_complete_scores(connection)
        undo_shards(connection)
        undo_partitions(connection)
        connection.execute(sa.text("DROP SCHEMA monitoring CASCADE"))
        connection.execute(sa.text("DROP INDEX streamflow.scores_by_scoring"))
        connection.execute(sa.text("ALTER TABLE streamflow.job_runs DROP COLUMN start_id"))
        connection.execute(sa.text("DROP TABLE streamflow.job_starts"))
        connection.execute(sa.text("DROP FUNCTION streamflow.sign_start"))
        connection.execute(sa.text("DROP FUNCTION streamflow.forget_months"))
        connection.execute(sa.text("DROP TABLE streamflow.forgotten_months"))
        connection.execute(sa.text("DROP VIEW streamflow.erased"))
        connection.execute(sa.text("DROP FUNCTION streamflow.import_erasures"))
        for table in ("erased_runs", "erasure_steps", "erasures"):
            connection.execute(sa.text(f"DROP TABLE streamflow.{table}"))
        connection.execute(sa.text("DROP FUNCTION streamflow.check_restore CASCADE"))
        for function in ERASING:
            connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
        connection.execute(sa.text("ALTER TABLE online.materializations DROP COLUMN visible_at"))
        connection.execute(sa.text("DROP TABLE streamflow.accepted_stamps"))
        connection.execute(sa.text("DROP SEQUENCE streamflow.newest_stamp"))
        for function in ("server_clock()", "microseconds", "read_clock", "next_stamp"):
            connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
        connection.execute(sa.text("DROP TRIGGER promotions_answer ON streamflow.promotions"))
        for table in ("promotion_requests", "signed_heads"):
            connection.execute(sa.text(f"DROP TABLE streamflow.{table}"))
        for function in ("open_request", "keep_request", "answer_request", "tell_of_request"):
            connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
        connection.execute(sa.text("DROP TRIGGER promotions_told ON streamflow.promotions"))
        connection.execute(sa.text("DROP TRIGGER promotions_trained ON streamflow.promotions"))
        for function in ("tell_of_promotion", "keep_releases", "refuse_untrained"):
            connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
        connection.execute(sa.text("DROP VIEW streamflow.current_releases"))
        undo_evidence(connection)
        for table in ("release_checks", "release_pieces", "releases", "trained_models", "mlflow_in_line"):
            connection.execute(sa.text(f"DROP TABLE streamflow.{table}"))
        connection.execute(sa.text("UPDATE streamflow.alembic_version SET version_num = '0005'"))
    assert migrate.migrate(settings.database) == migrate.newest()
    with transaction(settings.database) as connection:
        assert connection.execute(
            sa.text("SELECT version_num FROM streamflow.alembic_version")
        ).scalars().all() == [migrate.newest()]
        connection.execute(sa.text("SELECT visible_at FROM online.materializations"))
