"""Requests and answers as they stand in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

MAX_KEY_LENGTH = 256
KEY_PATTERN = r"^[^\x00-\x1f\x7f]+$"


class ModelLabel(BaseModel):
    """Which model version answered."""

    name: str = Field(examples=["streamflow_churn"])
    version: int = Field(examples=[3])


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:streamflow:problem:missing_features"])
    title: str
    status: int
    code: str = Field(description="Stable; programs decide by it.", examples=["missing_features"])
    detail: str = Field(description="What happened, to which thing, and what to do next.")
    reason: str | None = None
    features: list[str] | None = None
    request_id: str | None = None


class FeatureValue(BaseModel):
    """One feature of an entity."""

    value: bool | int | float | str | None
    view: str
    event_timestamp: str | None = Field(description="The as-of of the value, ISO 8601.")
    age_seconds: float | None = Field(description="Age against the clock the service measures by.")


class FeatureContributions(BaseModel):
    """Why the probability is what it is: the reference's probability and the contributions add up to it."""

    reference_probability: float = Field(description="Probability of the reference row.")
    contributions: dict[str, float] = Field(description="Per feature; Shapley values of the served model.")
    reference: dict[str, bool | int | float | str | None] = Field(
        description="Where the contributions start: the median or most frequent value of the training rows."
    )


class Health(BaseModel):
    """Whether the service can answer."""

    status: str = Field(description="ok, degraded (serves, but a dependency is down) or unavailable.")
    model: ModelLabel | None
    registry_up: bool
    feature_store_up: bool
    draining: bool


class Schemas:
    """The models whose fields are named by the join key."""

    def __init__(self, join_key: str) -> None:
        key: Any = (
            str,
            Field(min_length=1, max_length=MAX_KEY_LENGTH, pattern=KEY_PATTERN, examples=["7590-VHVEG"]),
        )
        strict = ConfigDict(extra="forbid", strict=True)
        answered: dict[str, Any] = {
            join_key: (str, Field(examples=["7590-VHVEG"])),
            "probability": (float, Field(ge=0, le=1, examples=[0.6321])),
            "prediction": (bool, Field(description="Whether the probability reaches the threshold.")),
            "threshold": (float, Field(examples=[0.5])),
            "model": (ModelLabel, ...),
            "request_id": (str, Field(examples=["8c1f0a52c2b7e6d4"])),
            "features": (dict[str, FeatureValue] | None, Field(None, description="With ?features=true.")),
            "explanation": (FeatureContributions | None, Field(None, description="With ?explain=true.")),
        }
        self.request = create_model("PredictRequest", __config__=strict, **{join_key: key})
        self.answer = create_model("Prediction", **answered)
        batch_keys: Any = (list[str], Field(min_length=1, examples=[["7590-VHVEG", "5575-GNVDE"]]))
        self.batch_request = create_model(
            "PredictBatchRequest", __config__=strict, **{f"{join_key}s": batch_keys}
        )
        item: dict[str, Any] = {
            join_key: (str, ...),
            "probability": (float | None, None),
            "prediction": (bool | None, None),
            "problem": (ProblemDocument | None, None),
        }
        self.batch_item = create_model("BatchItem", **item)
        batch: dict[str, Any] = {
            "model": (ModelLabel, ...),
            "threshold": (float, ...),
            "predictions": (list[self.batch_item], ...),  # type: ignore[name-defined]
            "request_id": (str, ...),
        }
        self.batch_answer = create_model("BatchPrediction", **batch)
        features: dict[str, Any] = {
            join_key: (str, ...),
            "features": (dict[str, FeatureValue], ...),
            "problem": (
                ProblemDocument | None,
                Field(None, description="Why /predict would refuse, if it would."),
            ),
            "request_id": (str, ...),
        }
        self.features = create_model("Features", **features)
