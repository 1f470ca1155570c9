"""Problems as HTTP answers: the one place that turns an exception into a status and a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from streamflow.http import answers
from streamflow.http.problems import FAILED, Problem, ProblemError

_INFERENCE = "/v2"


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception of a route with a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101
        return _response(error.problem, request)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        members = {"errors": _places(error.errors()[:20])}
        return _response(Problem("bad_request", located(error.errors()), members=members), request)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        detail = f"{request.method} {request.url.path}: {error.detail}. The API is described at /docs."
        response = _response(Problem(code, detail, status=error.status_code), request)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    async def on_failure(request: Request, error: Exception) -> Response:
        # Starlette raises it again after this answer; the middleware logs it.
        return _response(FAILED, request)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_failure)


def located(errors: Sequence[Mapping[str, Any]]) -> str:
    """Say what pydantic found, and where, of the first three errors."""
    return "; ".join(f"{item['at']}: {item['message']}" for item in _places(errors[:3]))


def _places(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {"at": ".".join(str(part)[:60] for part in item["loc"]), "message": item["msg"]} for item in errors
    ]


def _response(problem: Problem, request: Request) -> Response:
    request_id = getattr(request.state, "request_id", "")
    status, headers, content = render(problem, request.scope["path"], request_id)
    return Response(content, status, headers)


def render(problem: Problem, path: str, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a problem.

    Paths of the Open Inference Protocol get the error document of that protocol.
    """
    if path == _INFERENCE or path.startswith(f"{_INFERENCE}/"):
        headers = answers.headers_of(problem) | {"content-type": "application/json"}
        # The protocol answers a malformed body with 400, our own API with 422.
        malformed = problem.code == "bad_request" and not problem.status
        status = 400 if malformed else problem.http_status
        return status, headers, answers.encoded({"error": f"{problem.code}: {problem.detail}"})
    return answers.render(problem, request_id)
