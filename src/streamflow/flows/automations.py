"""What Prefect tells a webhook: a run failed, a version waits for an approval, no month came for too long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events import emit_event
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

_BLOCK = "streamflow"
INGESTED = "streamflow.month.ingested"
_OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.streamflow"}
# Templates of Jinja; the message of a failed run has line ends and quotes.
_RUN = {
    "run": "{{ flow_run.name|tojson }}",
    "state": "{{ flow_run.state.name|tojson }}",
    "message": "{{ flow_run.state.message|tojson }}",
    "address": "{{ flow_run|ui_url|tojson }}",
}


def told_month(drops: list[Mapping[str, Any]]) -> None:
    """Emit an event for each new drop, whose absence the automation `streamflow: month overdue` notices."""
    for drop in drops:
        if drop.get("changed"):
            as_of = str(drop["as_of"])
            resource = {"prefect.resource.id": f"streamflow.month.{as_of}", "prefect.resource.name": as_of}
            emit_event(INGESTED, resource=resource, payload={"drop": drop["drop_id"]})


async def arrange(url: str, overdue_days: int) -> list[str]:
    """Make the automations, or bring them up to date; without a URL, remove them.

    Args:
        url: Where the webhook listens; it gets a POST with a JSON object. Empty for nowhere.
        overdue_days: Days without a new drop after which a month is overdue.

    Returns:
        The names of the automations.
    """
    if not url:
        for name in _triggers(overdue_days):
            if (present := await _find(name)) is not None:
                await present.adelete()
        return []
    headers = {"Content-Type": "application/json"}
    block = await Webhook(url=url, headers=headers).asave(_BLOCK, overwrite=True)
    for name, (trigger, payload) in _triggers(overdue_days).items():
        wanted = Automation(
            name=name,
            description="Made by StreamFlow's conductor, which brings it up to date when it starts.",
            trigger=trigger,
            actions=[CallWebhook(block_document_id=block, payload=_body(name, payload))],
        )
        present = await _find(name)
        if present is None:
            await wanted.acreate()
        elif _content(present) != _content(wanted):
            wanted.id, wanted.enabled = present.id, present.enabled
            await wanted.aupdate()
        # One that is right stays untouched: an update would begin the days of an overdue month anew.
    return list(_triggers(overdue_days))


def _content(automation: Automation) -> dict[str, Any]:
    """What an automation does, whatever its number is, and whether or not somebody has paused it."""
    return dict(automation.model_dump(include={"name", "description", "trigger", "actions"}))


def _triggers(overdue_days: int) -> dict[str, tuple[EventTrigger, dict[str, str]]]:
    def happens(*events: str) -> EventTrigger:
        return EventTrigger(
            expect={f"prefect.flow-run.{event}" for event in events},
            match_related=_OURS,
            posture=Posture.Reactive,
            threshold=1,
        )

    overdue = EventTrigger(
        expect={INGESTED}, posture=Posture.Proactive, threshold=1, within=timedelta(days=overdue_days)
    )
    return {
        "streamflow: run failed": (happens("Failed", "Crashed", "TimedOut"), _RUN),
        "streamflow: approval waiting": (happens("Suspended"), _RUN),
        "streamflow: month overdue": (
            overdue,
            {"message": json.dumps(f"No new drop came for {overdue_days} days.")},
        ),
    }


def _body(name: str, members: Mapping[str, str]) -> str:
    """A JSON object whose members are templates of JSON values. Pure."""
    rest = "".join(f", {json.dumps(key)}: {template}" for key, template in members.items())
    return f'{{"what": {json.dumps(name)}{rest}}}'


async def _find(name: str) -> Automation | None:
    try:
        return await Automation.aread(name=name)
    except ValueError:
        return None
