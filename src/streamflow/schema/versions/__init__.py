"""Alembic revisions; each runs the SQL file of its name."""
