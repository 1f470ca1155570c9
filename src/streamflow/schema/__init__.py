"""StreamFlow's own tables and roles: run migrations, set grants, wait until a database is ready."""
