"""Typed HTTP client of the predict service.

    from streamflow.client import PredictClient

    with PredictClient("http://127.0.0.1:8000", api_key="...") as client:
        answer = client.predict("7590-VHVEG")
        print(answer.probability, answer.model.version)

It imports nothing else of StreamFlow but the errors; `streamflow.client.errors` shows what it raises.
"""

from streamflow.client.answers import (
    BatchItem,
    BatchPrediction,
    Explanation,
    Features,
    FeatureValue,
    Health,
    Model,
    ModelFeature,
    ModelVersion,
    Prediction,
    RefusedModel,
    ServedModel,
)
from streamflow.client.errors import (
    ClientError,
    NotPermitted,
    Problem,
    ProblemError,
    RequestRefused,
    ServiceFailed,
    Unavailable,
    UnexpectedAnswer,
    UnknownEntity,
    Unreachable,
)
from streamflow.client.predict_client import PredictClient

__all__ = [
    "BatchItem",
    "BatchPrediction",
    "ClientError",
    "Explanation",
    "FeatureValue",
    "Features",
    "Health",
    "Model",
    "ModelFeature",
    "ModelVersion",
    "NotPermitted",
    "PredictClient",
    "Prediction",
    "Problem",
    "ProblemError",
    "RefusedModel",
    "RequestRefused",
    "ServedModel",
    "ServiceFailed",
    "Unavailable",
    "UnexpectedAnswer",
    "UnknownEntity",
    "Unreachable",
]
