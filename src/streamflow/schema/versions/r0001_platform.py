"""The platform's own tables."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0001_platform.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is nothing before the first migration; restore a backup instead.")
