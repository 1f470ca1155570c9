"""The form in which a person decides about a version, where the policy of promotions is `manual`."""

from __future__ import annotations

from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from streamflow.flows.approval import LEAVE, PROMOTE

_KEY = "approval"
_NOT_BLANK = r"\S"


class Approval(RunInput):
    """The answer."""

    decision: Literal["promote", "leave at staging"] = Field(
        LEAVE, description="What becomes of the version."
    )
    why: str = Field(
        pattern=_NOT_BLANK, max_length=1000, description="The reason, for the ledger of promotions."
    )
    by: str = Field(
        pattern=_NOT_BLANK, max_length=100, description="Your name, for the ledger of promotions."
    )

    @property
    def is_promotion(self) -> bool:
        """Whether the version is to be promoted."""
        return self.decision == PROMOTE


def ask(question: str) -> Approval:
    """Suspend the flow run until somebody sends the form; its process ends, and a new one goes on with the answer.

    There is no time limit, which would fail a run that waits for somebody who is away.

    Args:
        question: What the form says above its fields, in Markdown.
    """
    described = Approval.with_initial_data(description=question)
    answer: Approval = suspend_flow_run(wait_for_input=described, timeout=None, key=_KEY)
    return answer
