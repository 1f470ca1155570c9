"""Schemas of the Open Inference Protocol v2: https://github.com/kserve/open-inference-protocol."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from streamflow.predict.http.openapi import request_body
from streamflow.predict.http.schema import EXAMPLE_KEYS, KEY_PATTERN, MAX_KEY_LENGTH, example

PLATFORM = "streamflow_onnx"
OUTPUTS = {"probability": "FP64", "prediction": "BOOL"}
"""Outputs of a model, with their datatypes."""

_DATATYPE = "BYTES"
_TENSOR = {"name": "user_id", "shape": [2], "datatype": _DATATYPE, "data": EXAMPLE_KEYS}
_OUTPUT = {"name": "probability", "shape": [2], "datatype": "FP64", "data": [0.6321, 0.0417]}
_ANY_OUTPUT = {"name": "probability", "datatype": "FP64", "shape": [-1]}


class RequestedOutput(BaseModel):
    """An output that the client asks for."""

    model_config = example({"name": "probability"})

    name: str = Field(examples=["probability"], json_schema_extra={"enum": list(OUTPUTS)})
    parameters: dict[str, Any] | None = None


class InputTensor(BaseModel):
    """The input: the entities' keys."""

    model_config = example(_TENSOR)

    name: str = Field(examples=["user_id"])
    shape: list[int] = Field(examples=[[2]])
    datatype: str = Field(examples=["BYTES"])
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = Field(None, examples=[EXAMPLE_KEYS])


class InferenceRequest(BaseModel):
    """A request for predictions."""

    model_config = example({"id": "r-1", "inputs": [_TENSOR]})

    id: str | None = Field(None, max_length=64)
    parameters: dict[str, Any] | None = None
    inputs: list[InputTensor] = Field(json_schema_extra={"minItems": 1, "maxItems": 1})
    outputs: list[RequestedOutput] | None = Field(
        None, json_schema_extra={"maxItems": len(OUTPUTS), "uniqueItems": True}
    )


def inference_body(join_key: str) -> dict[str, Any]:
    """Schema of a request, with what the service asks of its one input.

    That the shape counts the keys is not in it, because JSON Schema cannot say so.
    """
    body = request_body(InferenceRequest)
    schema = body["content"]["application/json"]["schema"]
    tensor = schema["$defs"]["InputTensor"]
    shown = {**_TENSOR, "name": join_key}
    tensor["examples"], schema["examples"] = [shown], [{"id": "r-1", "inputs": [shown]}]
    said = tensor["properties"]
    said["name"] |= {"enum": [join_key], "examples": [join_key]}
    said["datatype"] |= {"enum": [_DATATYPE]}
    said["shape"] |= {"minItems": 1, "maxItems": 2, "items": {"type": "integer", "minimum": 1}}
    key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": KEY_PATTERN}
    items = {"anyOf": [key, {"type": "array", "items": key}]}
    said["data"] = {
        "title": "Data",
        "description": "The keys; absent only if they follow the JSON as a binary tensor.",
        "type": "array",
        "minItems": 1,
        "items": items,
        "examples": [EXAMPLE_KEYS],
    }
    tensor["required"] = [*tensor["required"], "data"]
    return body


class OutputTensor(BaseModel):
    """One output."""

    model_config = example(_OUTPUT)

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferenceResponse(BaseModel):
    """Predictions."""

    model_config = example(
        {"model_name": "streamflow_churn", "model_version": "3", "id": "r-1", "outputs": [_OUTPUT]}
    )

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(BaseModel):
    """What answers, and the protocol's extensions that it has."""

    model_config = example({"name": "streamflow", "version": "1.0.0", "extensions": ["binary_tensor_data"]})

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process works."""

    model_config = example({"live": True})

    live: bool


class ServerReady(BaseModel):
    """Whether requests should be sent here."""

    model_config = example({"ready": True})

    ready: bool


class ModelReady(BaseModel):
    """Whether the served version answers."""

    model_config = example({"name": "streamflow_churn", "ready": True})

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """An input or output; -1 in its shape stands for any length."""

    model_config = example(_ANY_OUTPUT)

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The served version, its input and its outputs."""

    model_config = example(
        {
            "name": "streamflow_churn",
            "versions": ["3"],
            "platform": PLATFORM,
            "inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [_ANY_OUTPUT],
        }
    )

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferenceError(BaseModel):
    """The protocol's answer to a request that failed."""

    model_config = example({"error": "not_found: The served model is version 3 of streamflow_churn."})

    error: str
