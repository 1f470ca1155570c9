"""JSON documents of the answers."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any

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
