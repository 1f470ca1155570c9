"""The accounts of MLflow's server, and the three roles that an account can have.

    python -m streamflow.mlflow_server.accounts FOLDER

creates them in the database of the variable STREAMFLOW_BACKEND, with the passwords in the folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from streamflow.errors import StreamFlowError, UsageError

ADMIN: Final = "admin"
TRAINER: Final = "trainer"
"""The role that registers versions."""
PROMOTER: Final = "promoter"
"""The role that moves versions."""

ROLES: Mapping[str, Mapping[str, str]] = {
    "viewer": {"experiment": "READ", "registered_model": "READ"},
    TRAINER: {"experiment": "EDIT", "registered_model": "EDIT"},
    # The gate adds its report to a version's run; and MLflow asks for MANAGE before it takes an alias away.
    PROMOTER: {"experiment": "EDIT", "registered_model": "MANAGE"},
}
"""MLflow's permission of each role on every experiment and every registered model."""

_WORKSPACE = "default"
SHORTEST = 12
"""MLflow accepts no shorter password."""


def account_of(role: str) -> str:
    """Name of the account that StreamFlow's own processes with this role log in as."""
    return f"streamflow-{role}"


def passwords_in(folder: Path) -> dict[str, str]:
    """Read the passwords of the accounts from the files `admin-password` and `ROLE-password`, as a Secret is mounted.

    Raises:
        UsageError: One is absent, unreadable or too short.
    """
    found = {}
    for name in (ADMIN, *ROLES):
        file = folder / f"{name}-password"
        try:
            password = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"MLflow's password in {file} cannot be read: {error}.",
                hint=f"The folder needs a file admin-password, and one for each of {', '.join(ROLES)}.",
            ) from error
        if len(password) < SHORTEST:
            raise UsageError(
                f"MLflow's password in {file} has {len(password)} characters.",
                hint=f"MLflow accepts passwords of at least {SHORTEST} characters.",
            )
        found[ADMIN if name == ADMIN else account_of(name)] = password
    return found


def create(url: str, folder: Path) -> None:
    """Do what `prepare` does, in a process of its own: importing MLflow's server changes the process that does it.

    Args:
        url: SQLAlchemy URL of MLflow's database.
        folder: Folder with the passwords.

    Raises:
        StreamFlowError: It failed.
    """
    environment = {**os.environ, "STREAMFLOW_BACKEND": url, "PYTHONWARNINGS": "ignore"}
    # MLflow's server would write its metrics there, and the folder may not exist yet.
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    command = [sys.executable, "-m", "streamflow.mlflow_server.accounts", str(folder)]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise StreamFlowError(
            "The accounts of MLflow could not be created in its database.", hint="See the message above."
        )


def prepare(url: str, passwords: Mapping[str, str]) -> None:
    """Create what is absent: MLflow's tables of accounts, the administrator, the roles, and the accounts of processes.

    Passwords are set to the given ones, and roles to `ROLES`; what an administrator did otherwise stays.

    Args:
        url: SQLAlchemy URL of MLflow's database.
        passwords: Password of each account, by its name.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(url)
    try:
        for name, password in passwords.items():
            if not store.has_user(name):
                store.create_user(name, password, is_admin=name == ADMIN)
            elif not store.authenticate_user(name, password):
                store.update_user(name, password=password)
        roles = {role.name: role for role in store.list_roles([_WORKSPACE])}
        for name, permissions in ROLES.items():
            role = roles.get(name) or store.create_role(name, _WORKSPACE)
            _permit(store, role.id, permissions)
            user = store.get_user(account_of(name))
            if name not in {each.name for each in store.list_user_roles(user.id)}:
                store.assign_role_to_user(user.id, role.id)
    finally:
        store.engine.dispose()


def _permit(store: Any, role: int, permissions: Mapping[str, str]) -> None:
    held = {
        each.resource_type: each for each in store.list_role_permissions(role) if each.resource_pattern == "*"
    }
    for kind, permission in permissions.items():
        if kind not in held:
            store.add_role_permission(role, kind, "*", permission)
        elif held[kind].permission != permission:
            store.update_role_permission(held[kind].id, permission)


if __name__ == "__main__":
    prepare(os.environ["STREAMFLOW_BACKEND"], passwords_in(Path(sys.argv[1])))
