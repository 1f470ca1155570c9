"""Open Inference Protocol v2 over the same service: https://github.com/kserve/open-inference-protocol.

The input is the entities' keys; the outputs are `probability` and `prediction`. The protocol has no partial answers, so
one entity without a prediction refuses the whole request. Errors are answered as `http.errors.render` says.
"""

import json
import re
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

import streamflow
from streamflow.http import json_body
from streamflow.http.problems import Problem, ProblemError, bad_request
from streamflow.predict.http import requests
from streamflow.predict.http.errors import located
from streamflow.predict.http.inference_schema import (
    OUTPUTS,
    PLATFORM,
    InferenceError,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    RequestedOutput,
    ServerLive,
    ServerMetadata,
    ServerReady,
    inference_body,
)
from streamflow.predict.http.schema import KEY_PATTERN
from streamflow.predict.models.live_model import LiveModel, Served
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome
from streamflow.predict.service import Service

_HEADER_LENGTH = "inference-header-content-length"
_NUMBER = re.compile(r"[0-9]{1,12}")

# Said only: `Access.check` refuses a control character in any path.
_NAMES: dict[str, Any] = {"minLength": 1, "pattern": KEY_PATTERN}
ModelName = Annotated[
    str, Path(description="Name of the registered model that is served.", json_schema_extra=_NAMES)
]
ModelVersion = Annotated[
    str, Path(description="The version that is served; any other is not found.", json_schema_extra=_NAMES)
]
Answer = Callable[[Request, str, str | None], Awaitable[Response]]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": InferenceError} for status in statuses}


_MODEL_ERRORS = _errors(400, 404, 500, 503)
_INFER_ERRORS = _errors(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)


def add_inference_routes(app: FastAPI, service: Service) -> None:
    """Add the protocol's routes."""
    _add_server(app, service.live)
    _add_model(app, service)
    _add_infer(app, service)


def _both(answer: Answer) -> list[tuple[str, str, Callable[..., Awaitable[Response]]]]:
    """Part of the path, suffix of the operation's id and handler, of the route without a version and of that with one.

    Two handlers, because generated clients leave out an operation whose path parameter may be absent.
    """

    async def served(request: Request, model_name: ModelName) -> Response:
        return await answer(request, model_name, None)

    async def versioned(request: Request, model_name: ModelName, model_version: ModelVersion) -> Response:
        return await answer(request, model_name, model_version)

    return [("", "", served), ("/versions/{model_version}", "_version", versioned)]


def _add_server(app: FastAPI, live: LiveModel) -> None:
    @app.get("/v2", operation_id="v2_server_metadata", tags=["v2"])
    async def server_metadata() -> ServerMetadata:
        """Name the server, and the protocol's extensions that it has."""
        extensions = ["binary_tensor_data"]
        return ServerMetadata(name="streamflow", version=streamflow.__version__, extensions=extensions)

    @app.get("/v2/health/live", operation_id="v2_live", tags=["v2"])
    async def server_live() -> ServerLive:
        """Answer as long as the process works, whatever it depends on."""
        return ServerLive(live=True)

    @app.get(
        "/v2/health/ready",
        operation_id="v2_ready",
        tags=["v2"],
        response_model=ServerReady,
        responses={503: {"model": ServerReady}},
    )
    async def server_ready() -> Response:
        """Answer 503 until a version is loaded, and while the replica shuts down."""
        return JSONResponse({"ready": live.ready}, 200 if live.ready else 503)


def _add_model(app: FastAPI, service: Service) -> None:
    async def ready(request: Request, name: str, version: str | None) -> Response:
        _check_name(service.serving(), name, version)
        live = service.live.ready
        return JSONResponse({"name": name, "ready": live}, 200 if live else 503)

    async def metadata(request: Request, name: str, version: str | None) -> Response:
        label = _check_name(service.serving(), name, version)
        inputs = {service.settings.join_key: "BYTES"}
        return JSONResponse(
            {
                "name": label["name"],
                "versions": [str(label["version"])],
                "platform": PLATFORM,
                "inputs": _tensors(inputs),
                "outputs": _tensors(OUTPUTS),
            }
        )

    for path, suffix, handler in _both(ready):
        app.add_api_route(
            f"/v2/models/{{model_name}}{path}/ready",
            handler,
            operation_id=f"v2_model_ready{suffix}",
            summary="Model Ready",
            description="Answer 404 for a model or version that is not served.",
            tags=["v2"],
            response_model=ModelReady,
            responses={**_MODEL_ERRORS, 503: {"model": ModelReady | InferenceError}},
        )
    for path, suffix, handler in _both(metadata):
        app.add_api_route(
            f"/v2/models/{{model_name}}{path}",
            handler,
            operation_id=f"v2_model_metadata{suffix}",
            summary="Model Metadata",
            description="Name the served version, its input and its outputs.",
            tags=["v2"],
            response_model=ModelMetadata,
            responses=_MODEL_ERRORS,
        )


def _tensors(datatypes: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()]


def _add_infer(app: FastAPI, service: Service) -> None:
    async def infer(request: Request, model_name: str, model_version: str | None) -> Response:
        _check_name(service.serving(), model_name, model_version)
        wanted = _parse(await request.body(), request.headers.get(_HEADER_LENGTH))
        outcomes = await service.many(_keys(wanted, service))
        # Another version may have been swapped in since the check above.
        _check_name(outcomes[0].served, model_name, model_version)
        _check_all(outcomes)
        for outcome in outcomes:
            service.log.offer(outcome, request.state.request_id)
        with metrics.postprocessing(model_name):
            return _answer(wanted, outcomes)

    for path, suffix, handler in _both(infer):
        app.add_api_route(
            f"/v2/models/{{model_name}}{path}/infer",
            handler,
            methods=["POST"],
            operation_id=f"v2_infer{suffix}",
            summary="Infer",
            description="Predict for the entities whose keys are the input; one without a prediction refuses all.",
            tags=["v2"],
            responses={**_INFER_ERRORS, 200: {"model": InferenceResponse}},
            openapi_extra={"requestBody": inference_body(service.settings.join_key)},
        )


def _check_name(served: Served, name: str, version: str | None) -> dict[str, Any]:
    label = served.label
    if name != label["name"] or version not in (None, str(label["version"])):
        detail = f"The served model is version {label['version']} of {label['name']}."
        raise ProblemError(Problem("not_found", detail))
    return label


def _parse(body: bytes, header_length: str | None) -> InferenceRequest:
    """Parse a request; binary tensors follow the JSON, whose length is in a header."""
    length = len(body)
    if header_length is not None:
        if not _NUMBER.fullmatch(header_length) or int(header_length) > len(body):
            raise bad_request(f"{_HEADER_LENGTH} must be a number of bytes within the body.")
        length = int(header_length)
    try:
        wanted = InferenceRequest.model_validate(json_body.parse(body[:length]))
    except ValidationError as error:
        raise bad_request(f"The body is not an inference request. {located(error.errors())}") from None
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.") from None
    if header_length is not None and len(wanted.inputs) == 1 and wanted.inputs[0].data is None:
        wanted.inputs[0].data = list(_binary(body[length:]))
    return wanted


def _binary(content: bytes) -> list[str]:
    """Decode BYTES elements: each is a little-endian uint32 length and that many bytes."""
    found, at = [], 0
    while at < len(content):
        if at + 4 > len(content):
            raise bad_request("The binary input is truncated.")
        (size,) = struct.unpack_from("<I", content, at)
        at += 4
        if at + size > len(content):
            raise bad_request("The binary input is truncated.")
        try:
            found.append(content[at : at + size].decode())
        except UnicodeDecodeError:
            raise bad_request("A key in the binary input is not UTF-8.") from None
        at += size
    return found


def _keys(wanted: InferenceRequest, service: Service) -> list[str]:
    join_key = service.settings.join_key
    if len(wanted.inputs) != 1 or wanted.inputs[0].name != join_key or wanted.inputs[0].datatype != "BYTES":
        raise bad_request(f"Send one input, '{join_key}', of datatype BYTES.")
    tensor = wanted.inputs[0]
    data = tensor.data or []
    flat = [item for row in data for item in (row if isinstance(row, list) else [row])]
    if tensor.shape not in ([len(flat)], [len(flat), 1]) or not flat:
        raise bad_request(f"The shape of '{join_key}' must be [n] or [n, 1] for its n > 0 keys.")
    most = service.settings.max_request_entities
    if len(flat) > most:
        detail = f"{len(flat)} entities were requested; one request may have at most {most}. Send several requests."
        raise ProblemError(Problem("request_too_large", detail))
    names = [output.name for output in wanted.outputs or ()]
    unknown = set(names) - set(OUTPUTS)
    if unknown:
        raise bad_request(f"Unknown output(s): {', '.join(sorted(unknown))[:200]}.")
    # Each name repeats the output in the answer, and one body has room for thousands of names.
    if len(set(names)) < len(names):
        raise bad_request("An output is named twice.")
    return [requests.check_key(key, join_key) for key in flat]


def _check_all(outcomes: list[Outcome]) -> None:
    refused = [outcome.problem for outcome in outcomes if outcome.problem is not None]
    if refused:
        detail = f"{len(refused)} of {len(outcomes)} entities have no prediction. {refused[0].detail}"
        raise ProblemError(Problem(refused[0].code, detail, status=refused[0].status))


def _answer(wanted: InferenceRequest, outcomes: list[Outcome]) -> Response:
    """Answer in JSON, followed by binary tensors for the outputs requested that way (as Triton's clients do)."""
    values: dict[str, list[Any]] = {
        "probability": [outcome.probability for outcome in outcomes],
        "prediction": [outcome.prediction for outcome in outcomes],
    }
    everything = bool((wanted.parameters or {}).get("binary_data_output"))
    asked = wanted.outputs or [RequestedOutput(name=name) for name in values]
    outputs, tail = [], b""
    for output in asked:
        datatype, data = OUTPUTS[output.name], values[output.name]
        made: dict[str, Any] = {"name": output.name, "shape": [len(data)], "datatype": datatype}
        if (output.parameters or {}).get("binary_data", everything):
            packed = struct.pack(f"<{len(data)}{'d' if datatype == 'FP64' else '?'}", *data)
            made["parameters"] = {"binary_data_size": len(packed)}
            tail += packed
        else:
            made["data"] = data
        outputs.append(made)
    served = outcomes[0].served
    document: dict[str, Any] = {
        "model_name": served.label["name"],
        "model_version": str(served.label["version"]),
        "outputs": outputs,
    }
    if wanted.id is not None:
        document["id"] = wanted.id
    content = json.dumps(document).encode()
    if not tail:
        return Response(content, media_type="application/json")
    headers = {_HEADER_LENGTH: str(len(content))}
    return Response(content + tail, media_type="application/octet-stream", headers=headers)
