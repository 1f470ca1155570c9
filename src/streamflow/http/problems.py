"""Reasons why a request has no answer, each with a stable `code`, and their RFC 9457 documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEDIA_TYPE = "application/problem+json"
CODES: dict[str, tuple[int, str]] = {
    "bad_request": (422, "The request is not valid"),
    "unauthorized": (401, "An API key is needed"),
    "forbidden": (403, "The API key may not do this"),
    "rate_limited": (429, "The API key is used too often"),
    "conflict": (409, "The request contradicts an earlier one"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "request_too_large": (413, "The request is too large"),
    "unsupported_encoding": (415, "Compressed bodies are not taken"),
    "missing_features": (422, "Features are missing"),
    "stale_features": (422, "Features are too old"),
    "schema_mismatch": (422, "Features do not fit the model"),
    "model_unavailable": (503, "No model is being served"),
    "feature_store_unavailable": (503, "The feature store does not answer"),
    "ledger_unavailable": (503, "The ledger of promotions does not answer"),
    "overloaded": (503, "The service is at its limit"),
    "internal_error": (500, "The service failed"),
}
"""HTTP status and title of each code; an unknown entity is `missing_features` with status 404."""


@dataclass(frozen=True)
class Problem:
    """A reason why there is no answer.

    Attributes:
        code: A key of `CODES`; clients branch on it.
        detail: What happened, to which thing, and what to do next.
        status: HTTP status; 0 means the default of the code.
        members: Further members of the document, such as `reason` and `features`.
        retry_after: Seconds to wait before a retry; 0 means that none is suggested.
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
    """Ends the handling of a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


FAILED = Problem(
    "internal_error", "This is a fault of the service. The service's log has the cause under this request id."
)
"""Answer to a request that failed because of a bug."""


def bad_request(detail: str) -> ProblemError:
    """Make the problem of a malformed request."""
    return ProblemError(Problem("bad_request", detail))
