"""Connections to PostgreSQL are opened in few, known places."""

from __future__ import annotations

import ast
from pathlib import Path

import streamflow

SOURCE = Path(streamflow.__file__).parent
CONNECT = {"create_engine", "create_pool", "create_async_engine"}
CONNECTORS = {"psycopg", "asyncpg", "psycopg2"}
MAY_CONNECT = {
    "postgres/engine.py",
    # A database other than the platform's, before that exists.
    "schema/prepare.py",
    # The server of a local stack, before it has roles.
    "local/postgres.py",
    "local/stack.py",
    # predict carries no SQLAlchemy.
    "predict/features/connections.py",
}


def _modules():
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _connects(node):
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in CONNECT:
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=driver), attr="connect")) if driver in CONNECTORS:
            return True
    return False


def test_connections_are_opened_in_known_places_alone():
    found = {name for name, tree in _modules() if any(_connects(node) for node in ast.walk(tree))}
    assert found == MAY_CONNECT
