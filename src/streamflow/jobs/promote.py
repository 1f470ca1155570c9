"""Recipe of the job `promote`: ask the registrar for a promotion, and wait for its answer."""

from __future__ import annotations

import time

from streamflow import log
from streamflow.errors import DependencyDown, Refused, UsageError
from streamflow.model_version import asked
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import PromoteResult
from streamflow.registry import requests
from streamflow.settings import RequestSettings, Settings

_LOOK_SECONDS = 1.0


def promote(settings: Settings) -> PromoteResult:
    """Ask for what the settings `request` say, unless the same key asked before, and wait for the answer.

    Raises:
        UsageError: A part of the request is missing or malformed.
        Refused: The registrar refuses it, the key was used for another request, or too many wait.
        DependencyDown: PostgreSQL does not answer, or the registrar does not answer in time.
    """
    wanted, model = _checked(settings.request), settings.mlflow.registered_model
    with transaction(settings.database) as connection:
        request = requests.ask(connection, model, wanted)
    log.get(__name__).info(
        "asked the registrar", request=request.id, version=request.version, to=request.alias
    )
    end = time.monotonic() + settings.request.wait_seconds
    while request.state == "open":
        if time.monotonic() > end:
            raise DependencyDown(
                f"The registrar has not answered request {request.id} for {settings.request.wait_seconds:.0f} s.",
                hint="Look at the registrar's log. The request stays open; the same key waits for its answer again.",
            )
        time.sleep(_LOOK_SECONDS)
        with transaction(settings.database) as connection:
            request = requests.find(connection, model, request.id)
    if request.promotion_id is None or request.state == "refused":
        raise Refused(f"Request {request.id} is refused.", details=tuple(request.refused or ()))
    return PromoteResult(request.id, request.version, request.promotion_id)


def _checked(given: RequestSettings) -> requests.NewRequest:
    missing = [name for name in ("version", "why", "by", "key") if getattr(given, name) in (None, "")]
    if missing:
        names = ", ".join(f"STREAMFLOW_REQUEST__{name.upper()}" for name in missing)
        hint = "Set them for this run, or promote with 'streamflow models promote VERSION --to production --why …'."
        raise UsageError(f"The job 'promote' is not told what to ask for: {names}.", hint=hint)
    if not asked.is_a_name(given.by):
        raise UsageError("'by' must be a name in one line that no API key has, such as prefect:ada.")
    if not requests.is_key(given.key):
        raise UsageError("'key' must consist of 1 to 255 visible ASCII characters.")
    return requests.new(given.version, given.to or PRODUCTION, given.why, given.by, given.key)
