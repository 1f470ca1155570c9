"""The platform's own tables."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # The driver's own cursor: several statements at once, and '%' means nothing to it.
    statements = Path(__file__).with_name("0001_platform.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("There is nothing before the first migration; restore a backup instead.")
