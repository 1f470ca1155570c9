"""Scores and outcomes of jobs are forgotten after a while."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # The driver's own cursor: several statements at once, and '%' means nothing to it.
    statements = Path(__file__).with_name("0004_retention.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("What was forgotten does not come back; restore a backup instead.")
