"""Schemas of requests and answers in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

MAX_KEY_LENGTH = 256
KEY_PATTERN = r"^[^\x00-\x1f\x7f]+$"
EXAMPLE_KEYS = ["7590-VHVEG", "5575-GNVDE"]


_LAX = ConfigDict()
_STRICT = ConfigDict(extra="forbid", strict=True)


def example(document: dict[str, Any], config: ConfigDict = _LAX) -> ConfigDict:
    """Add an example document to a model's configuration."""
    return {**config, "json_schema_extra": {"examples": [document]}}


_LABEL = {"name": "streamflow_churn", "version": 3}
_VALUE = {
    "value": 29.85,
    "view": "some_view",
    "event_timestamp": "2024-03-31T00:00:00+00:00",
    "age_seconds": 0.0,
}
_PROBLEM = {
    "type": "urn:streamflow:problem:missing_features",
    "title": "Features are missing",
    "status": 404,
    "code": "missing_features",
    "detail": "The online store has no features of the entity '7590-VHVEG'.",
    "reason": "unknown_entity",
    "features": ["some_view:some_feature"],
    "instance": "urn:streamflow:request:8c1f0a52c2b7e6d4",
    "request_id": "8c1f0a52c2b7e6d4",
}
_HEALTH = {
    "status": "ok",
    "model": _LABEL,
    "ledger_up": True,
    "feature_store_up": True,
    "draining": False,
}
_CONTRIBUTIONS = {
    "reference_probability": 0.2113,
    "contributions": {"some_feature": 0.4208},
    "reference": {"some_feature": 70.35},
}


class ModelLabel(BaseModel):
    """Which model version answered."""

    model_config = example(_LABEL)

    name: str = Field(examples=["streamflow_churn"])
    version: int = Field(examples=[3])


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    model_config = example(_PROBLEM, ConfigDict(extra="allow"))

    type: str = Field(examples=["urn:streamflow:problem:missing_features"])
    title: str
    status: int
    code: str = Field(description="Stable; clients branch on it.", examples=["missing_features"])
    detail: str = Field(description="What happened, to which thing, and what to do next.")
    reason: str | None = None
    features: list[str] | None = None
    instance: str | None = Field(None, description="URN of the request; absent in batch items.")
    request_id: str | None = None


class FeatureValue(BaseModel):
    """One feature of an entity."""

    model_config = example(_VALUE)

    value: bool | int | float | str | None
    view: str
    event_timestamp: str | None = Field(description="The as-of of the value, ISO 8601.")
    age_seconds: float | None = Field(description="Age by the clock that the service uses.")


class FeatureContributions(BaseModel):
    """Contribution of each feature; with the reference's probability they add up to the answer."""

    model_config = example(_CONTRIBUTIONS)

    reference_probability: float = Field(description="Probability of the reference row.")
    contributions: dict[str, float] = Field(description="Shapley value of each feature.")
    reference: dict[str, bool | int | float | str | None] = Field(
        description="Reference row: the median or most frequent values of the training rows."
    )


class Alive(BaseModel):
    """The answer of a probe."""

    model_config = example({"status": "ok"})

    status: Literal["ok"]


class Health(BaseModel):
    """Whether the service can answer."""

    model_config = example(_HEALTH)

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`ok`, `degraded` (it answers, but a dependency is down) or `unavailable`."
    )
    model: ModelLabel | None
    ledger_up: bool
    feature_store_up: bool
    draining: bool


class Schemas:
    """Schemas with fields that are named after the join key."""

    def __init__(self, join_key: str, most_keys: int) -> None:
        limits: Any = Field(
            min_length=1, max_length=MAX_KEY_LENGTH, pattern=KEY_PATTERN, examples=EXAMPLE_KEYS[:1]
        )
        key: Any = (str, limits)
        one, other = ({join_key: key} for key in EXAMPLE_KEYS)
        request_id = {"request_id": "8c1f0a52c2b7e6d4"}
        verdict = {"probability": 0.6321, "prediction": True}
        answered: dict[str, Any] = {
            join_key: (str, Field(examples=EXAMPLE_KEYS[:1])),
            "probability": (float, Field(ge=0, le=1, examples=[0.6321])),
            "prediction": (bool, Field(description="Whether the probability reaches the threshold.")),
            "threshold": (float, Field(examples=[0.5])),
            "model": (ModelLabel, ...),
            "request_id": (str, Field(examples=["8c1f0a52c2b7e6d4"])),
            "features": (dict[str, FeatureValue] | None, Field(None, description="With ?features=true.")),
            "explanation": (FeatureContributions | None, Field(None, description="With ?explain=true.")),
        }
        self.request = create_model("PredictRequest", __config__=example(one, _STRICT), **{join_key: key})
        self.answer = create_model(
            "Prediction",
            __config__=example({**one, **verdict, "threshold": 0.5, "model": _LABEL, **request_id}),
            **answered,
        )
        batch_keys: Any = (
            list[Annotated[str, limits]],
            Field(min_length=1, max_length=most_keys, examples=[EXAMPLE_KEYS]),
        )
        self.batch_request = create_model(
            "PredictBatchRequest",
            __config__=example({f"{join_key}s": EXAMPLE_KEYS}, _STRICT),
            **{f"{join_key}s": batch_keys},
        )
        item: dict[str, Any] = {
            join_key: (str, ...),
            "probability": (float | None, None),
            "prediction": (bool | None, None),
            "problem": (ProblemDocument | None, None),
        }
        self.batch_item = create_model("BatchItem", __config__=example({**one, **verdict}), **item)
        batch: dict[str, Any] = {
            "model": (ModelLabel, ...),
            "threshold": (float, ...),
            "predictions": (list[self.batch_item], ...),  # type: ignore[name-defined]
            "request_id": (str, ...),
        }
        refused = {
            **other,
            "problem": {k: v for k, v in _PROBLEM.items() if k not in ("instance", "request_id")},
        }
        self.batch_answer = create_model(
            "BatchPrediction",
            __config__=example(
                {
                    "model": _LABEL,
                    "threshold": 0.5,
                    "predictions": [{**one, **verdict}, refused],
                    **request_id,
                }
            ),
            **batch,
        )
        self.features = _features_schema(join_key)


def _features_schema(join_key: str) -> type[BaseModel]:
    features: dict[str, Any] = {
        join_key: (str, ...),
        "features": (dict[str, FeatureValue], ...),
        "problem": (
            ProblemDocument | None,
            Field(None, description="Why /predict would refuse, if it would."),
        ),
        "request_id": (str, ...),
    }
    return create_model(
        "Features",
        __config__=example(
            {
                join_key: EXAMPLE_KEYS[0],
                "features": {"some_feature": _VALUE},
                "problem": None,
                "request_id": "8c1f0a52c2b7e6d4",
            }
        ),
        **features,
    )
