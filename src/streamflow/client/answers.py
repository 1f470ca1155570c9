"""The answers of the predict service, and how they are read from its JSON documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from streamflow.client.errors import Problem, problem_of

Value = bool | int | float | str | None
"""Value of a feature."""


@dataclass(frozen=True)
class ModelVersion:
    """Which model version answered."""

    name: str
    version: int


@dataclass(frozen=True)
class FeatureValue:
    """One feature of an entity.

    Attributes:
        value: Its value; None when it is absent.
        view: Feature view that it comes from.
        event_timestamp: As-of of the value; None when it is absent.
        age_seconds: Age by the clock that the service measures with; None when it is absent.
    """

    value: Value
    view: str
    event_timestamp: datetime | None
    age_seconds: float | None


@dataclass(frozen=True)
class Explanation:
    """Shapley values: the reference's probability and the contributions add up to the answer.

    Attributes:
        reference_probability: Probability of the reference row.
        contributions: Contribution of each feature.
        reference: Feature values of the reference row.
    """

    reference_probability: float
    contributions: Mapping[str, float]
    reference: Mapping[str, Value]


@dataclass(frozen=True)
class Prediction:
    """The answer for one entity.

    Attributes:
        entity: Key of the entity.
        probability: Probability of the positive class.
        prediction: Whether the probability reaches the threshold.
        threshold: Probability from which the prediction is positive.
        model: The version that answered.
        request_id: Id of the request in the service's log.
        features: The values used; None unless asked for.
        explanation: What each feature contributed; None unless asked for.
        document: The whole answer as received.
    """

    entity: str
    probability: float
    prediction: bool
    threshold: float
    model: ModelVersion
    request_id: str
    features: Mapping[str, FeatureValue] | None
    explanation: Explanation | None
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class BatchItem:
    """The answer for one entity of a batch: a probability or a problem, never both."""

    entity: str
    probability: float | None
    prediction: bool | None
    problem: Problem | None


@dataclass(frozen=True)
class BatchPrediction:
    """The answers for several entities, all by one model version, in the order asked."""

    predictions: tuple[BatchItem, ...]
    threshold: float
    model: ModelVersion
    request_id: str
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Features:
    """The values that `predict` would use.

    Attributes:
        entity: Key of the entity.
        features: Value of each feature.
        problem: Why `predict` would refuse; None when it would not.
        request_id: Id of the request in the service's log.
        document: The whole answer as received.
    """

    entity: str
    features: Mapping[str, FeatureValue]
    problem: Problem | None
    request_id: str
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ModelFeature:
    """A feature that the served model reads."""

    name: str
    view: str
    type: str
    required: bool


@dataclass(frozen=True)
class ServedModel:
    """The model version that is served; `document` holds what else the service says about it."""

    name: str
    version: int
    loaded_at: datetime
    threshold: float
    features: tuple[ModelFeature, ...]
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class RefusedModel:
    """A model version that the alias points to and that failed a check."""

    version: int
    why: str
    at: datetime


@dataclass(frozen=True)
class Model:
    """What is served, and why not something else.

    Attributes:
        served: The served version, if any.
        refused: The version behind the alias that failed a check, if any.
        trials: Version on trial behind each alias, such as `canary`.
        ledger_up: Whether the ledger of promotions could be read last.
        document: The whole answer as received.
    """

    served: ServedModel | None
    refused: RefusedModel | None
    trials: Mapping[str, ModelVersion]
    ledger_up: bool
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Health:
    """Whether the service can answer; `degraded` means that it does while a dependency is down."""

    status: Literal["ok", "degraded", "unavailable"]
    model: ModelVersion | None
    ledger_up: bool
    feature_store_up: bool
    draining: bool


def _optional_problem(document: dict[str, Any] | None) -> Problem | None:
    return None if document is None else problem_of(document, int(document["status"]))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _label(document: dict[str, Any]) -> ModelVersion:
    return ModelVersion(str(document["name"]), int(document["version"]))


def _values(document: dict[str, Any]) -> dict[str, FeatureValue]:
    return {
        name: FeatureValue(item["value"], item["view"], _moment(item["event_timestamp"]), item["age_seconds"])
        for name, item in document.items()
    }


def read_prediction(document: dict[str, Any], join_key: str) -> Prediction:
    """Read the answer of `/predict`."""
    values, explanation = document.get("features"), document.get("explanation")
    return Prediction(
        entity=document[join_key],
        probability=float(document["probability"]),
        prediction=bool(document["prediction"]),
        threshold=float(document["threshold"]),
        model=_label(document["model"]),
        request_id=document["request_id"],
        features=None if values is None else _values(values),
        explanation=None if explanation is None else Explanation(**explanation),
        document=document,
    )


def read_batch(document: dict[str, Any], join_key: str) -> BatchPrediction:
    """Read the answer of `/predict/batch`."""
    items = tuple(
        BatchItem(
            item[join_key],
            item.get("probability"),
            item.get("prediction"),
            _optional_problem(item.get("problem")),
        )
        for item in document["predictions"]
    )
    return BatchPrediction(
        items, float(document["threshold"]), _label(document["model"]), document["request_id"], document
    )


def read_features(document: dict[str, Any], join_key: str) -> Features:
    """Read the answer of `/features/{key}`."""
    return Features(
        document[join_key],
        _values(document["features"]),
        _optional_problem(document["problem"]),
        document["request_id"],
        document,
    )


def read_model(document: dict[str, Any]) -> Model:
    """Read the answer of `/model`."""
    served, refused = document["served"], document["refused"]
    return Model(
        served=None if served is None else _served(served),
        refused=None
        if refused is None
        else RefusedModel(refused["version"], refused["why"], datetime.fromisoformat(refused["at"])),
        trials={alias: _label(item) for alias, item in document["trials"].items()},
        ledger_up=document["ledger_up"],
        document=document,
    )


def _served(document: dict[str, Any]) -> ServedModel:
    return ServedModel(
        name=document["name"],
        version=int(document["version"]),
        loaded_at=datetime.fromisoformat(document["loaded_at"]),
        threshold=float(document["threshold"]),
        features=tuple(
            ModelFeature(item["name"], item["view"], item["type"], item["required"])
            for item in document["features"]
        ),
        document=document,
    )


def read_health(document: dict[str, Any]) -> Health:
    """Read the answer of `/health`."""
    model = document["model"]
    return Health(
        document["status"],
        None if model is None else _label(model),
        document["ledger_up"],
        document["feature_store_up"],
        document["draining"],
    )
