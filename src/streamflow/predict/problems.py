"""What went wrong with a request, as RFC 9457 problem documents with a stable `code`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEDIA_TYPE = "application/problem+json"
_INFERENCE = "/v2"

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (422, "The request is not valid"),
    "unauthorized": (401, "An API key is needed"),
    "forbidden": (403, "The API key may not do this"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "request_too_large": (413, "The request is too large"),
    "missing_features": (422, "Features are missing"),
    "stale_features": (422, "Features are too old"),
    "schema_mismatch": (422, "Features do not fit the model"),
    "model_unavailable": (503, "No model is being served"),
    "feature_store_unavailable": (503, "The feature store does not answer"),
    "overloaded": (503, "The service is at its limit"),
    "internal_error": (500, "The service failed"),
}
"""Every code: its HTTP status and title. An unknown entity is `missing_features` with status 404."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        code: A key of `CODES`; programs decide by it.
        detail: What happened, to which thing, and what to do next.
        status: HTTP status; 0 takes the code's.
        members: Further members of the document, such as `reason` and `features`.
        retry_after: Seconds after which another try makes sense; 0 says nothing.
    """

    code: str
    detail: str
    status: int = 0
    members: Mapping[str, Any] = field(default_factory=dict)
    retry_after: int = 0

    @property
    def http_status(self) -> int:
        """The HTTP status to answer with."""
        return self.status or CODES[self.code][0]

    def document(self, request_id: str = "") -> dict[str, Any]:
        """The problem document."""
        made: dict[str, Any] = {
            "type": f"urn:streamflow:problem:{self.code}",
            "title": CODES[self.code][1],
            "status": self.http_status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        if request_id:
            made["instance"] = f"urn:streamflow:request:{request_id}"
            made["request_id"] = request_id
        return made


class ProblemError(Exception):
    """Raised where a problem ends the handling of a request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def rendered(problem: Problem, path: str, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; paths of the Open Inference Protocol have a form of their own."""
    headers: dict[str, str] = {}
    if problem.code == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    if problem.code == "request_timeout":
        # The rest of it may never come.
        headers["connection"] = "close"
    if problem.retry_after:
        headers["retry-after"] = str(problem.retry_after)
    if path == _INFERENCE or path.startswith(f"{_INFERENCE}/"):
        headers["content-type"] = "application/json"
        # The protocol says 400 where ours says 422 for a body that cannot be understood.
        malformed = problem.code == "bad_request" and not problem.status
        status = 400 if malformed else problem.http_status
        return status, headers, _encoded({"error": f"{problem.code}: {problem.detail}"})
    headers["content-type"] = MEDIA_TYPE
    return problem.http_status, headers, _encoded(problem.document(request_id))


def _encoded(document: dict[str, Any]) -> bytes:
    # What a client sent may be quoted in it, half a surrogate pair too, which has no encoding.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


FAILED = Problem(
    "internal_error", "This is a fault of the service. Its log has the reason, under the request id."
)
"""The answer to a request that ran into a fault of ours."""
