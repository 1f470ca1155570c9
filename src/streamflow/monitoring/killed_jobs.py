"""Which jobs were killed: their last run began, its lock is free, and it recorded no outcome.

That is what SIGKILL leaves, such as the kernel's when memory ends, and the loss of a node.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import locks, statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def read(connection: sa.Connection) -> dict[str, bool]:
    """Whether the last run of each job was killed; a run at work is left out, so the one before it counts."""
    running = connection.execute(sa.text(_SQL["running_jobs"])).one()
    # A second statement, which sees every outcome that was recorded before the locks were read.
    starts = connection.execute(sa.text(_SQL["last_starts"]), {"newest": running.newest})
    return killed([(row.job, row.ended) for row in starts], frozenset(running.keys_held))


def killed(starts: Sequence[tuple[str, bool]], held: Container[int]) -> dict[str, bool]:
    """Tell killed jobs from others. Pure.

    Args:
        starts: Job of each start, and whether that run ended; grouped by job, newest first.
        held: Keys of the advisory locks that are held.
    """
    found = {}
    for job, group in groupby(starts, key=lambda start: start[0]):
        ended = [has_ended for _, has_ended in group]
        if not ended[0] and locks.key(locks.of_job(job)) in held:
            ended = ended[1:]
        if ended:
            found[job] = not ended[0]
    return found
