"""When readers saw a materialization, beside what it knew."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    statements = Path(__file__).with_name("0006_visible_at.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(statements)


def downgrade() -> None:
    raise RuntimeError("What was visible when is not taken back; restore a backup instead.")
