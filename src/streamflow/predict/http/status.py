"""Routes that say how the service is: probes, health, served model, metrics."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from streamflow.http.problems import Problem, ProblemError
from streamflow.predict.http import answers
from streamflow.predict.http.openapi import documented
from streamflow.predict.http.schema import Alive, Health
from streamflow.predict.models.live_model import LiveModel
from streamflow.predict.observe import metrics


def add_health_routes(app: FastAPI, live: LiveModel) -> None:
    """Add the routes of health and probes."""
    _add_health(app, live)
    add_probes(app, live)


def _add_health(app: FastAPI, live: LiveModel) -> None:
    @app.get(
        "/health",
        operation_id="health",
        tags=["status"],
        summary="Whether the service can predict, and what it depends on",
        response_model=Health,
        responses={503: {"model": Health}},
    )
    async def health() -> Response:
        """Say whether the service can predict, what it serves, and which dependencies answer."""
        store_up = bool(metrics.STORE_UP._value.get())
        served = live.served
        able = served is not None and not live.draining
        status = "unavailable" if not able else "ok" if live.ledger_up and store_up else "degraded"
        document = {
            "status": status,
            "model": served.label if served else None,
            "ledger_up": live.ledger_up,
            "feature_store_up": store_up,
            "draining": live.draining,
        }
        return JSONResponse(document, 200 if able else 503)


def add_probes(app: FastAPI, live: LiveModel) -> None:
    """Add `/livez` and `/readyz`."""

    @app.get("/livez", operation_id="livez", tags=["status"], summary="Whether the process works")
    async def livez() -> Alive:
        """Answer as long as the process works, whatever it depends on."""
        return Alive(status="ok")

    @app.get(
        "/readyz",
        operation_id="readyz",
        tags=["status"],
        summary="Whether requests should be sent here",
        responses=documented("model_unavailable"),
    )
    async def readyz() -> Alive:
        """Answer 503 until a version is loaded, and while the replica shuts down."""
        if not live.ready:
            detail = "This replica is shutting down." if live.draining else "No model is loaded yet."
            raise ProblemError(Problem("model_unavailable", detail, retry_after=2))
        return Alive(status="ok")

    # Some load balancers send HEAD.
    @app.head(
        "/livez", operation_id="livez_head", tags=["status"], summary="As GET /livez", response_class=Response
    )
    async def livez_head() -> Response:
        """Answer as GET does, without a body."""
        return Response()

    @app.head(
        "/readyz",
        operation_id="readyz_head",
        summary="As GET /readyz",
        tags=["status"],
        response_class=Response,
        responses=documented("model_unavailable"),
    )
    async def readyz_head() -> Response:
        """Answer as GET does, without a body."""
        await readyz()
        return Response()


def add_report_routes(app: FastAPI, live: LiveModel) -> None:
    """Add the routes of the served model and of metrics."""

    @app.get(
        "/model",
        operation_id="model",
        tags=["status"],
        summary="What is served, and which version was refused",
    )
    async def model() -> dict[str, Any]:
        """Describe the version that is served, since when, and the last one that failed its checks."""
        return answers.model(live)

    @app.get(
        "/metrics",
        operation_id="metrics",
        tags=["status"],
        summary="Prometheus metrics",
        response_class=PlainTextResponse,
        responses={200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}},
    )
    async def exposition(request: Request) -> Response:
        """Write all metrics, as OpenMetrics with exemplars if Accept asks for it, else in the classic text format."""
        content, media_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": media_type, "vary": "accept"})
