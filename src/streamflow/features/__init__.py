"""Stage 3: training sets from Feast's offline store, and materialization into its online store.

Called as a function, it is the `features` of `streamflow.frames`: `streamflow.features(["0009-LHIXE"])`.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

# First, because a direct import of Feast includes its run-time type checks, half of the import's CPU time.
from streamflow.repo import quick_feast as quick_feast


class _Features(ModuleType):
    """Lets the package and the function of that name share it: importing a package sets it on its parent."""

    def __call__(self, user_ids: str | Iterable[str]) -> Any:
        """The online features of users as a DataFrame; see `streamflow.frames.features`."""
        # By name: no stage imports what is above it.
        return import_module("streamflow.frames").features(user_ids)


sys.modules[__name__].__class__ = _Features
