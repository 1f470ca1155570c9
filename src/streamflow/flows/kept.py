"""What the jobs of a flow run said, kept in Prefect's own database: a run that starts again does not repeat them.

Prefect keeps inputs of a flow run by key. Results in files would be lost with the conductor's pod.
"""

from __future__ import annotations

from uuid import UUID

from prefect.input.actions import create_flow_run_input, read_flow_run_input

from streamflow.flows.said import Said, of_json


def find(flow_run: UUID, key: str) -> Said | None:
    """What was kept for a flow run; None if nothing was."""
    document = read_flow_run_input(key, flow_run_id=flow_run)
    return of_json(document) if document is not None else None


def keep(flow_run: UUID, key: str, said: Said) -> None:
    """Keep what a job said; once for a flow run and a key."""
    create_flow_run_input(key, said.json, flow_run_id=flow_run)
