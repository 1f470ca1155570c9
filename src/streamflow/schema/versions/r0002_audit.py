"""Promotions become a hash-chained audit trail."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # The driver's own cursor: several statements at once, and '%' means nothing to it.
    statements = Path(__file__).with_name("0002_audit.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("An audit trail is not taken back; restore a backup instead.")
