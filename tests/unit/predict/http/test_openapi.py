"""The OpenAPI document is valid and complete, with an example of every model."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
import schemathesis


@pytest.fixture
def document(ask) -> dict[str, Any]:
    return ask("GET", "/openapi.json").json()


def references(node: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for item in node.values() for found in references(item)]


def test_the_document_is_valid_and_every_reference_resolves(document):
    schemathesis.openapi.from_dict(document).validate()
    found = references(document)
    assert "#/components/schemas/InputTensor" in found
    for reference in found:
        node = document
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            assert part in node, reference
            node = node[part]


def test_every_schema_in_the_document_is_valid(document):
    bodies = [
        content["schema"]
        for operations in document["paths"].values()
        for operation in operations.values()
        for response in [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in response.get("content", {}).values()
    ]
    for schema in [*document["components"]["schemas"].values(), *bodies]:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_model_has_an_example_that_it_accepts(document):
    schemas = document["components"]["schemas"]
    assert {"PredictRequest", "Prediction", "ProblemDocument", "InferenceRequest"} < set(schemas)
    for name, schema in schemas.items():
        assert schema.get("examples"), name
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for shown in schema["examples"]:
            jsonschema.validate(shown, whole, jsonschema.Draft202012Validator)


def test_every_possible_answer_is_documented(document):
    paths = document["paths"]
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == [
        "text/plain",
        "application/openmetrics-text",
    ]
    for path, statuses in (
        ("/predict", {"200", "401", "403", "404", "413", "422", "500", "503"}),
        ("/predict/batch", {"200", "401", "403", "413", "422", "500", "503"}),
        ("/v2/models/{model_name}/infer", {"200", "400", "401", "403", "404", "413", "422", "500", "503"}),
    ):
        assert statuses <= set(paths[path]["post"]["responses"]), path
    assert "HTTPValidationError" not in document["components"]["schemas"]


def operations(document):
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described_and_named_once(document):
    """With the next test, what Spectral's default rules ask for."""
    assert document["info"]["contact"]
    assert document["servers"] == [{"url": "/", "description": "Where this document comes from"}]
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    found = operations(document)
    for name, operation in found:
        assert operation.get("description"), name
        assert operation.get("summary"), name
        assert operation["tags"], name
        assert set(operation["tags"]) <= tags, name
    assert len({operation["operationId"] for _, operation in found}) == len(found)


def test_generated_clients_keep_every_operation(document):
    """They leave out one whose path parameter is not simply a string, or whose answer has no schema."""
    for name, operation in operations(document):
        in_path = [item for item in operation.get("parameters", []) if item["in"] == "path"]
        assert {item["name"] for item in in_path} == set(re.findall(r"{(.*?)}", name)), name
        for item in in_path:
            assert (item["required"], item["schema"].get("type")) == (True, "string"), (name, item)
            assert item["description"], (name, item)
        if name.startswith("get ") and "application/json" in operation["responses"]["200"]["content"]:
            assert operation["responses"]["200"]["content"]["application/json"]["schema"], name


def test_the_bounds_of_requests_are_those_of_the_service(ask):
    schemas = ask("GET", "/openapi.json", {"max_request_entities": 7}).json()["components"]["schemas"]
    keys = schemas["PredictBatchRequest"]["properties"]["user_ids"]
    assert (keys["minItems"], keys["maxItems"]) == (1, 7)
    one = schemas["PredictRequest"]["properties"]["user_id"]
    for schema in (one, keys["items"]):
        assert (schema["minLength"], schema["maxLength"]) == (1, 256)
        assert schema["pattern"]
    assert schemas["InferenceRequest"]["properties"]["inputs"]["maxItems"] == 1
