"""Import Feast without the run-time type checks on its own functions.

Feast decorates functions with typeguard, which rewrites each of them during the import. That takes half of
the import's 7 s of CPU time. The `feast` command and Feast's feature server still import Feast with checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typeguard


@contextmanager
def _without_type_checks() -> Iterator[None]:
    def unchanged(function: Any = None, **options: Any) -> Any:
        return function if function is not None else unchanged

    former = typeguard.typechecked
    typeguard.typechecked = unchanged  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = former


with _without_type_checks():
    import feast
    import feast.data_source  # noqa: F401

    # MLflow imports it before its first request, because Feast is a plugin of MLflow.
    import feast.infra.data_sources.mlflow  # noqa: F401
    import feast.repo_config  # noqa: F401

__all__ = ["feast"]
