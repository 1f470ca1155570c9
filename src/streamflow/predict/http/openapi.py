"""The OpenAPI document: what FastAPI makes of the routes, completed by what it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from streamflow.predict.http.api_keys import scopes_of

_SCHEMAS = "#/components/schemas/"
_UNUSED = ("HTTPValidationError", "ValidationError")


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """The body of an operation that reads it by itself; the document's completion moves the model to the others."""
    schema = model.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def complete_document(app: FastAPI) -> None:
    """Let the application's document be whole."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _declare_keys(method, path, operation)
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


def _declare_keys(method: str, path: str, operation: dict[str, Any]) -> None:
    """Which operations take an API key; none is needed unless keys are configured."""
    if scopes_of(method.upper(), path):
        operation["security"] = [{}, {"bearer": []}, {"api_key": []}]


def _move_models(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """The request's model and those within it go where references look for them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "title" in schema:
            schemas.update(schema.pop("$defs", {}))
            schemas[schema["title"]] = schema
            content["schema"] = {"$ref": _SCHEMAS + schema["title"]}


def _forget_validation(operation: dict[str, Any]) -> None:
    """FastAPI announces its own 422 where parameters are, also where any text will do."""
    content = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
    if content.get("schema", {}).get("$ref") == f"{_SCHEMAS}{_UNUSED[0]}":
        del operation["responses"]["422"]
