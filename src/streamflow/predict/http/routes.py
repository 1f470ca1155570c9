"""The HTTP routes: thin skins over `Service`."""

from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from streamflow.predict.http import answers
from streamflow.predict.http.openapi import request_body
from streamflow.predict.http.schema import Health, ProblemDocument, Schemas
from streamflow.predict.observe import metrics
from streamflow.predict.problems import CODES, MEDIA_TYPE, Problem, ProblemError
from streamflow.predict.service import Service


def add_routes(app: FastAPI, service: Service) -> None:
    """Add every route to the application."""
    schemas = Schemas(service.settings.join_key)
    _add_predictions(app, service, schemas)
    _add_status(app, service)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problem responses of an operation, for the OpenAPI document."""
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


_UNABLE = (
    "bad_request",
    "unauthorized",
    "forbidden",
    "request_timeout",
    "request_too_large",
    "model_unavailable",
    "feature_store_unavailable",
    "overloaded",
    "internal_error",
)
_REFUSED = ("missing_features", "stale_features", "schema_mismatch")


def _add_predictions(app: FastAPI, service: Service, schemas: Schemas) -> None:
    join_key = service.settings.join_key

    @app.post(
        "/predict",
        operation_id="predict",
        summary="Probability for one entity",
        tags=["predictions"],
        response_model=schemas.answer,
        response_model_exclude_none=True,
        responses={**documented(*_UNABLE, *_REFUSED), 200: {"model": schemas.answer}},
        openapi_extra={"requestBody": request_body(schemas.request)},
    )
    async def predict(
        request: Request,
        features: bool = Query(False, description="Add the features used; needs the scope `features` too."),
        explain: bool = Query(
            False, description="Add what each feature contributes; needs the scope `features` too."
        ),
    ) -> Response:
        outcome = await service.one(answers.read_key(await request.body(), join_key))
        if outcome.problem is not None:
            raise ProblemError(outcome.problem)
        service.log.offer(outcome, request.state.request_id)
        explanation = await service.explain(outcome) if explain else None
        with metrics.postprocessing(outcome.served.release.pointer.name):
            document = answers.prediction(outcome, request.state.request_id)
            if features:
                document["features"] = answers.features(outcome, service.live, service.settings)
            if explanation is not None:
                document["explanation"] = explanation
            return JSONResponse(document)

    @app.post(
        "/predict/batch",
        operation_id="predict_batch",
        summary="Probabilities for several entities, all by one model version",
        tags=["predictions"],
        responses={**documented(*_UNABLE), 200: {"model": schemas.batch_answer}},
        openapi_extra={"requestBody": request_body(schemas.batch_request)},
    )
    async def predict_batch(request: Request) -> Response:
        keys = answers.read_keys(await request.body(), join_key, service.settings.max_request_entities)
        outcomes = await service.many(keys)
        for outcome in outcomes:
            service.log.offer(outcome, request.state.request_id)
        with metrics.postprocessing(outcomes[0].served.release.pointer.name):
            return JSONResponse(answers.batch(outcomes, request.state.request_id))

    @app.get(
        f"/features/{{{join_key}}}",
        operation_id="get_features",
        summary="The features the served model would use for one entity",
        tags=["features"],
        responses={**documented(*_UNABLE, "missing_features"), 200: {"model": schemas.features}},
        openapi_extra={"parameters": [_key_parameter(join_key)]},
    )
    async def get_features(request: Request) -> Response:
        outcome = await service.one(answers.check_key(request.path_params[join_key], join_key))
        problem = outcome.problem
        if problem is not None and problem.members.get("reason") in ("unknown_entity", "not_materialized"):
            raise ProblemError(problem)
        document = {
            join_key: outcome.key,
            "features": answers.features(outcome, service.live, service.settings),
            "problem": problem.document() if problem else None,
            "request_id": request.state.request_id,
        }
        return JSONResponse(document)


def _add_status(app: FastAPI, service: Service) -> None:
    live = service.live

    @app.get(
        "/health",
        operation_id="health",
        tags=["status"],
        response_model=Health,
        responses={503: {"model": Health}},
    )
    async def health() -> Response:
        store_up = bool(metrics.STORE_UP._value.get())
        served = live.served
        able = served is not None and not live.draining
        status = "unavailable" if not able else "ok" if live.registry_up and store_up else "degraded"
        document = {
            "status": status,
            "model": served.label if served else None,
            "registry_up": live.registry_up,
            "feature_store_up": store_up,
            "draining": live.draining,
        }
        return JSONResponse(document, 200 if able else 503)

    @app.get("/livez", operation_id="livez", tags=["status"], summary="Whether the process works")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        operation_id="readyz",
        tags=["status"],
        summary="Whether requests should be sent here; asks no shared dependency",
        responses=documented("model_unavailable"),
    )
    async def readyz() -> dict[str, str]:
        if not live.ready:
            detail = "This replica is about to end." if live.draining else "No model is loaded yet."
            raise ProblemError(Problem("model_unavailable", detail, retry_after=2))
        return {"status": "ok"}

    # Some load balancers ask by HEAD.
    @app.head("/livez", operation_id="livez_head", tags=["status"], response_class=Response)
    async def livez_head() -> Response:
        return Response()

    @app.head(
        "/readyz",
        operation_id="readyz_head",
        tags=["status"],
        response_class=Response,
        responses=documented("model_unavailable"),
    )
    async def readyz_head() -> Response:
        await readyz()
        return Response()

    @app.get(
        "/model", operation_id="model", tags=["status"], summary="What is served, and why not something else"
    )
    async def model() -> dict[str, Any]:
        return answers.model(live)

    @app.get(
        "/metrics",
        operation_id="metrics",
        tags=["status"],
        summary="Prometheus metrics",
        response_class=PlainTextResponse,
    )
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _key_parameter(join_key: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 256}
    return {"name": join_key, "in": "path", "required": True, "schema": schema, "example": "7590-VHVEG"}


__all__ = ["ProblemDocument", "add_routes", "documented"]
