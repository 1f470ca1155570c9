"""Take a database back to an earlier revision, so that its migration can be tried."""

import sqlalchemy as sa


def undo_complete_scores(connection):
    """Undo migration 0022."""
    connection.execute(sa.text("DROP VIEW streamflow.complete_scores"))


def undo_shards(connection):
    """Undo migration 0021."""
    connection.execute(sa.text("DROP TRIGGER scorings_signed ON streamflow.scorings"))
    for function in (
        *("sign_scoring", "require_scorer", "open_scoring", "restart_scoring", "finish_shard"),
        "abandon_scorings",
    ):
        connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
    for table in ("scoring_shards", "scoring_runs"):
        connection.execute(sa.text(f"DROP TABLE streamflow.{table}"))
    connection.execute(
        sa.text(
            "CREATE TRIGGER scorings_signed BEFORE INSERT ON streamflow.scorings"
            " FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('scored_at', '', 'scoring_id')"
        )
    )


def undo_partitions(connection):
    """Undo migration 0020; the source tables and their functions have to be those of before, or none."""
    connection.execute(sa.text("ALTER TABLE streamflow.drops DROP COLUMN drop_number CASCADE"))
    connection.execute(sa.text("DROP TABLE streamflow.filled_tables"))
    for function in ("fill_table", "key_column", "drop_partitions", "add_partition", "index_partition"):
        connection.execute(sa.text(f"DROP FUNCTION streamflow.{function}"))
