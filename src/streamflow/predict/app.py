"""The predict service put together: the one place that wires it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match

import streamflow
from streamflow.predict.features.store import Lanes
from streamflow.predict.http.api_keys import KeyFile
from streamflow.predict.http.inference_protocol import add_inference_routes
from streamflow.predict.http.middleware import Front
from streamflow.predict.http.openapi import complete_document
from streamflow.predict.http.routes import add_routes
from streamflow.predict.models.live_model import LiveModel
from streamflow.predict.models.watch import Watch
from streamflow.predict.observe import metrics
from streamflow.predict.problems import FAILED, Problem, ProblemError, rendered
from streamflow.predict.service import Service
from streamflow.settings import Settings


def create_app(settings: Settings, live: LiveModel | None = None) -> Front:
    """The ASGI application; `live` lets a caller (the process, a test) see and steer what is served."""
    live = live or LiveModel()
    lanes = Lanes(settings.database, settings.predict.pool_size)
    service = Service(settings.predict, live, lanes)
    keys = settings.predict.api_keys_file
    key_file = KeyFile(keys) if keys else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = Watch(settings.predict, settings.mlflow, live, lanes, key_file=key_file)
        await watch.start()
        watching, logging = asyncio.create_task(watch.run()), asyncio.create_task(service.log.run())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            # The last answers too, if the database lets us.
            await service.log.end(logging)
            await watch.close()
            lanes.close()

    app = FastAPIOffline(
        title="StreamFlow predict",
        version=streamflow.__version__,
        description="Churn probabilities from online features, by the model version behind the alias `production`.",
        lifespan=lifespan,
        redoc_url=None,
    )
    add_routes(app, service)
    add_inference_routes(app, service)
    complete_document(app)
    _add_problem_handlers(app)
    metrics.DRAINING.set_function(lambda: float(live.draining))
    return Front(app, service, key_file, lambda scope: _template_of(app, scope))


def _template_of(app: FastAPI, scope: MutableMapping[str, Any]) -> str | None:
    for route in app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            return getattr(route, "path", None)
    return None


def problem_response(problem: Problem, request: Request) -> Response:
    """A problem as a response."""
    request_id = getattr(request.state, "request_id", "")
    status, headers, content = rendered(problem, request.scope["path"], request_id)
    return Response(content, status, headers)


def _add_problem_handlers(app: FastAPI) -> None:
    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101
        return problem_response(error.problem, request)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        problems: list[dict[str, Any]] = [
            {"at": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['at']}: {item['message']}" for item in problems[:3])
        return problem_response(Problem("bad_request", detail, members={"errors": problems[:20]}), request)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        detail = f"{request.method} {request.url.path}: {error.detail}. The API is described at /docs."
        response = problem_response(Problem(code, detail, status=error.status_code), request)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    async def on_failure(request: Request, error: Exception) -> Response:
        # The exception goes on to the front, which logs it.
        return problem_response(FAILED, request)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_failure)
