"""No row of the audit trail is dated back, or ahead."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    statements = Path(__file__).with_name("0005_audit_dates.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("The audit trail is not taken back; restore a backup instead.")
