"""Distribute the files of tests over the processes of `pytest -n`."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from xdist.scheduler import LoadFileScheduling

# The tests of the cluster mostly wait for it. Meanwhile the other process has tests that start no stacks.
_LONG = (
    "tests/cluster/",
    "tests/spark/",
    "tests/integration/governance/",
    "tests/e2e/",
    "tests/integration/",
)
# One session of Spark takes seconds to start, and a gigabyte.
_RUN_SPARK = ("tests/spark/", "tests/feature_store_kit/")
# These share a stack, which takes minutes to fill. Others start stacks of their own; beside the shared one, they would
# take the port of a service that a test has killed.
_START_STACKS = "tests/e2e/"


class LongFilesFirst(LoadFileScheduling):  # type: ignore[misc]
    """Lets one process have all tests of a file, whose fixtures they share, and lets the short files come last.

    So all processes end at about the same time. One has all tests of the cluster, and one all that start stacks.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(super()._split_scope(nodeid))

    def _assign_work_unit(self, node: Any) -> None:
        self.workqueue.move_to_end(next_scope(self.workqueue), last=False)
        super()._assign_work_unit(node)


def scope_of(file: str) -> str:
    """Return the name of the files that one process runs together with this one. Pure."""
    if file.startswith("tests/cluster/"):
        return "tests/cluster/"
    if file.startswith(_RUN_SPARK):
        return "tests/spark/"
    return _START_STACKS if file.startswith(_START_STACKS) else file


def next_scope(waiting: Mapping[str, Sized]) -> str:
    """Return the scope to run next. Pure.

    Args:
        waiting: The tests of each scope that no process has yet.
    """

    def turn(scope: str) -> tuple[int, int]:
        place = next((i for i, folder in enumerate(_LONG) if scope.startswith(folder)), len(_LONG))
        return place, -len(waiting[scope])

    return min(waiting, key=turn)
