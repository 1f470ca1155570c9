"""The log of predictions, in daily partitions."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    statements = Path(__file__).with_name("0003_prediction_log.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("The log of predictions is not taken back; restore a backup instead.")
