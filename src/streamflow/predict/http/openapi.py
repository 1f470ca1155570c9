"""Parts of the OpenAPI document that FastAPI cannot derive from the routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from streamflow.http.problems import CODES, MEDIA_TYPE
from streamflow.predict.http.access import Needs
from streamflow.predict.http.schema import EXAMPLE_KEYS, KEY_PATTERN, MAX_KEY_LENGTH

_SCHEMAS = "#/components/schemas/"
_UNUSED = ("HTTPValidationError", "ValidationError")

UNABLE = (
    "bad_request",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "request_timeout",
    "request_too_large",
    "unsupported_encoding",
    "model_unavailable",
    "feature_store_unavailable",
    "overloaded",
    "internal_error",
)
"""Problems that any prediction or feature request may be answered with."""

REFUSED = ("missing_features", "stale_features", "schema_mismatch")
"""Problems of one entity's features."""


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Schema for a handler that parses its own body."""
    schema = model.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses of an operation that are problem documents."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    if "missing_features" in codes:
        by_status.setdefault(404, []).append("missing_features (unknown_entity)")
    return {
        status: {
            "description": " or ".join(names),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status, names in by_status.items()
    }


def key_parameter(join_key: str) -> dict[str, Any]:
    """The entity's key as a path parameter."""
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": KEY_PATTERN}
    key = {"name": join_key, "in": "path", "required": True, "description": "The entity's key."}
    return {**key, "schema": schema, "example": EXAMPLE_KEYS[0]}


def complete_document(app: FastAPI, needed: Needs) -> None:
    """Add security and shared schemas to the OpenAPI document.

    Args:
        app: Application with all its routes.
        needed: Scopes that each route needs.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if needed[method.upper(), path]:
                    # Optional, because keys are off by default.
                    operation["security"] = [{}, {"bearer": []}, {"api_key": []}]
                _move_models(operation, document["components"]["schemas"])
                _forget_validation(operation)
        for name in _UNUSED:
            document["components"]["schemas"].pop(name, None)
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _move_models(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the request's schema, and those nested in it, to the shared schemas, where references expect them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "title" in schema:
            schemas.update(schema.pop("$defs", {}))
            schemas[schema["title"]] = schema
            content["schema"] = {"$ref": _SCHEMAS + schema["title"]}


def _forget_validation(operation: dict[str, Any]) -> None:
    """Remove the 422 that FastAPI documents for every operation with parameters, even if any text is valid."""
    content = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
    if content.get("schema", {}).get("$ref") == f"{_SCHEMAS}{_UNUSED[0]}":
        del operation["responses"]["422"]
