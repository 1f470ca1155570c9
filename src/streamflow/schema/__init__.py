"""The platform's own tables and roles: migrations, grants, and waiting until a database is ready."""
