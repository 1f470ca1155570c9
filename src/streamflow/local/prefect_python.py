"""The interpreter that has Prefect. This module imports no library that Prefect's image lacks."""

from __future__ import annotations

from pathlib import Path

from streamflow.errors import UsageError
from streamflow.settings import PrefectSettings


def interpreter(prefect: PrefectSettings) -> Path:
    """The interpreter that has Prefect.

    Raises:
        UsageError: Prefect is not installed.
    """
    python = prefect.python.expanduser().absolute()
    if not python.is_file():
        raise UsageError(
            f"Prefect is not installed: {python} does not exist.",
            hint="Run 'make prefect', or name another one in STREAMFLOW_PREFECT__PYTHON.",
        )
    return python
