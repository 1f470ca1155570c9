"""JSON documents of the answers."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from streamflow.http.problems import ProblemError
from streamflow.predict.models.live_model import LiveModel, RefusedVersion
from streamflow.predict.outcome import Outcome
from streamflow.settings import PredictSettings


def prediction(outcome: Outcome, request_id: str) -> dict[str, Any]:
    """Answer for one entity that has a probability."""
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


def prediction_bytes(outcome: Outcome, request_id: str) -> bytes:
    """The same answer as JSON, the bytes of `json.dumps`.

    Args:
        outcome: Outcome with a probability.
        request_id: Id of the request, which needs no escape in JSON.
    """
    served = outcome.served
    key, reached = encode_basestring_ascii(outcome.key), "true" if outcome.prediction else "false"
    return (
        f'{{{served.join_key_json}: {key}, "probability": {outcome.probability!r}, "prediction": {reached},'
        f' {served.common_json}, "request_id": "{request_id}"}}'
    ).encode()


def batch(outcomes: list[Outcome], request_id: str) -> dict[str, Any]:
    """Answer for several entities."""
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
    """Value, view, as-of and age of each feature of the contract."""
    contract = outcome.served.release.contract
    position = {view.name: i for i, view in enumerate(contract.views)}
    result: dict[str, dict[str, Any]] = {}
    for feature, value in zip(contract.features, outcome.row.values, strict=True):
        stamp = outcome.row.stamps[position[feature.view]]
        clock = time.time() if settings.age_clock == "wall" else live.newest.get(feature.view, stamp or 0.0)
        result[feature.name] = {
            # JSON cannot represent NaN or infinity.
            "value": None if isinstance(value, float) and not math.isfinite(value) else value,
            "view": feature.view,
            "event_timestamp": None if stamp is None else iso(stamp),
            "age_seconds": None if stamp is None else clock - stamp,
        }
    return result


def features_bytes(outcome: Outcome, live: LiveModel, settings: PredictSettings, request_id: str) -> bytes:
    """Answer to a question for features, as JSON.

    Raises:
        ProblemError: There is no row to show.
    """
    problem = outcome.problem
    if problem is not None and problem.members.get("reason") in ("unknown_entity", "not_materialized"):
        raise ProblemError(problem)
    shown = _features_json(outcome, live, settings)
    return (
        f"{{{encode_basestring(outcome.served.release.contract.join_key)}:{encode_basestring(outcome.key)},"
        f'"features":{{{shown}}},"problem":{_compact(problem.document()) if problem else "null"},'
        f'"request_id":"{request_id}"}}'
    ).encode()


def _features_json(outcome: Outcome, live: LiveModel, settings: PredictSettings) -> str:
    """The members of `features` in compact JSON; what does not differ between two entities is written once."""
    served, stamps = outcome.served, outcome.row.stamps
    wall = time.time() if settings.age_clock == "wall" else None
    ends = []
    for view, stamp in zip(served.plan.views, stamps, strict=True):
        clock = wall if wall is not None else live.newest.get(view, stamp or 0.0)
        moment = None if stamp is None else iso(stamp)
        age = None if stamp is None else clock - stamp
        ends.append(f'"event_timestamp":{_compact(moment)},"age_seconds":{_compact(age)}}}')
    return ",".join(
        f"{begin}{_value(outcome.row.values[number])}{middle}{ends[view]}"
        for begin, number, middle, view in served.features_json
    )


def _value(value: Any) -> str:
    kind = type(value)
    if kind is float:
        # JSON cannot represent NaN or infinity.
        return repr(value) if math.isfinite(value) else "null"
    if kind is str:
        return encode_basestring(value)
    return repr(value) if kind is int else _compact(value)


def _compact(document: Any) -> str:
    written: str = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return written


def model(live: LiveModel) -> dict[str, Any]:
    """What is served and since when, and which version was refused."""
    document: dict[str, Any] = {"ledger_up": live.ledger_up, "served": None, "refused": None}
    document["trials"] = {alias: served.label for alias, served in live.trials.items()}
    document["refused_trials"] = {alias: _refused(item) for alias, item in live.refused_trials.items()}
    if live.served is not None:
        release = live.served.release
        contract = release.contract
        document["served"] = {
            "name": release.pointer.name,
            "version": release.pointer.version,
            "manifest_sha256": release.pointer.manifest_sha256,
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
