"""Alembic's entry point: runs the revisions on the connection that `migrate` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="streamflow", transactional_ddl=True)
context.run_migrations()
