"""Outcomes -> the documents that are sent."""

from __future__ import annotations

import json
import math
import re
import time
from datetime import UTC, datetime
from typing import Any

from streamflow.predict.http.schema import KEY_PATTERN, MAX_KEY_LENGTH
from streamflow.predict.models.live_model import LiveModel, RefusedVersion
from streamflow.predict.outcome import Outcome
from streamflow.predict.problems import Problem, ProblemError
from streamflow.settings import PredictSettings

_KEY = re.compile(KEY_PATTERN)


def read_key(body: bytes, join_key: str) -> str:
    """The entity's key out of a request body: a JSON object with exactly that one member.

    Raises:
        ProblemError: bad_request, naming what is wrong.
    """
    return check_key(_only_member(body, join_key, '"…"'), join_key)


def read_keys(body: bytes, join_key: str, most: int) -> list[str]:
    """The entities' keys out of a request body: a JSON object whose one member is a list of keys.

    Raises:
        ProblemError: bad_request, naming what is wrong; request_too_large for more than `most` keys.
    """
    name = f"{join_key}s"
    keys = _only_member(body, name, '["…", "…"]')
    if not isinstance(keys, list) or not keys:
        raise bad_request(f"'{name}' must be a list with at least one key.")
    if len(keys) > most:
        detail = f"{len(keys)} entities were asked for; at most {most} fit into one request. Send several."
        raise ProblemError(Problem("request_too_large", detail))
    return [check_key(key, join_key) for key in keys]


def _only_member(body: bytes, name: str, example: str) -> Any:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request(f'The body is not JSON. Send {{"{name}": {example}}}.') from None
    if not isinstance(content, dict):
        raise bad_request(f'The body must be an object: {{"{name}": {example}}}.')
    if name not in content:
        raise bad_request(f"The member '{name}' is missing.")
    if len(content) > 1:
        extra = sorted(str(other)[:60] for other in content if other != name)
        raise bad_request(f"Unknown member(s): {', '.join(extra[:5])}. Only '{name}' is taken.")
    return content[name]


def check_key(key: Any, join_key: str) -> str:
    """A key that may be looked up.

    Raises:
        ProblemError: bad_request.
    """
    if not isinstance(key, str):
        raise bad_request(f"'{join_key}' must be a string, not {type(key).__name__}.")
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not _KEY.match(key) or _KEY.match(key).end() != len(key):  # type: ignore[union-attr]
        raise bad_request(
            f"'{join_key}' must have 1 to {MAX_KEY_LENGTH} characters, none of them a control character."
        )
    try:
        key.encode()
    except UnicodeEncodeError:
        raise bad_request(f"'{join_key}' holds half a surrogate pair, which is no character.") from None
    return key


def bad_request(detail: str) -> ProblemError:
    """The problem of a request that cannot be understood."""
    return ProblemError(Problem("bad_request", detail))


def prediction(outcome: Outcome, request_id: str) -> dict[str, Any]:
    """The answer to one entity that has a probability."""
    served = outcome.served
    contract = served.release.contract
    return {
        contract.join_key: outcome.key,
        "probability": outcome.probability,
        "prediction": outcome.prediction,
        "threshold": contract.threshold,
        "model": served.label,
        "request_id": request_id,
    }


def batch(outcomes: list[Outcome], request_id: str) -> dict[str, Any]:
    """The answer to several entities."""
    served = outcomes[0].served
    contract = served.release.contract
    items: list[dict[str, Any]] = [
        {contract.join_key: o.key, "problem": o.problem.document()}
        if o.problem
        else {contract.join_key: o.key, "probability": o.probability, "prediction": o.prediction}
        for o in outcomes
    ]
    return {
        "model": served.label,
        "threshold": contract.threshold,
        "predictions": items,
        "request_id": request_id,
    }


def features(outcome: Outcome, live: LiveModel, settings: PredictSettings) -> dict[str, dict[str, Any]]:
    """Every feature of the contract with its value, its view, its as-of and its age."""
    contract = outcome.served.release.contract
    position = {view.name: i for i, view in enumerate(contract.views)}
    result: dict[str, dict[str, Any]] = {}
    for feature, value in zip(contract.features, outcome.row.values, strict=True):
        stamp = outcome.row.stamps[position[feature.view]]
        clock = time.time() if settings.age_clock == "wall" else live.newest.get(feature.view, stamp or 0.0)
        result[feature.name] = {
            # JSON has no number for these.
            "value": None if isinstance(value, float) and not math.isfinite(value) else value,
            "view": feature.view,
            "event_timestamp": None if stamp is None else iso(stamp),
            "age_seconds": None if stamp is None else clock - stamp,
        }
    return result


def model(live: LiveModel) -> dict[str, Any]:
    """What is served, since when, and why not something else."""
    document: dict[str, Any] = {"registry_up": live.registry_up, "served": None, "refused": None}
    document["trials"] = {alias: served.label for alias, served in live.trials.items()}
    document["refused_trials"] = {alias: _refused(item) for alias, item in live.refused_trials.items()}
    if live.served is not None:
        release = live.served.release
        contract = release.contract
        document["served"] = {
            "name": release.pointer.name,
            "version": release.pointer.version,
            "manifest_sha256": release.pointer.manifest_sha256,
            "source": live.served.source,
            "loaded_at": iso(live.served.loaded_at),
            "estimator": contract.estimator,
            "as_of": contract.as_of,
            "known_at": contract.known_at,
            "fingerprint": contract.fingerprint,
            "threshold": contract.threshold,
            "feature_service": contract.feature_service,
            "features": [
                {"name": f.name, "view": f.view, "type": f.type, "required": not f.nullable}
                for f in contract.features
            ],
            "runtime": contract.runtime,
        }
    if live.refused is not None:
        document["refused"] = _refused(live.refused)
    return document


def _refused(refused: RefusedVersion) -> dict[str, Any]:
    return {"version": refused.pointer.version, "why": refused.why, "at": iso(refused.at)}


def iso(seconds: float) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
