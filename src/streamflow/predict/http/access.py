"""What each route needs of a caller, decided on the route that matched; a route that is not listed is closed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Send

from streamflow.http.api_keys import KeyFile
from streamflow.http.problems import Problem, ProblemError

Scope = MutableMapping[str, Any]
Needs = Mapping[tuple[str, str], frozenset[str]]
"""Scopes that a route needs, by method and path template; none means that it is open."""

OPEN: frozenset[str] = frozenset()
PREDICT = frozenset(("predict",))
FEATURES = frozenset(("features",))

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FALSE = frozenset(("0", "false", "off", "f", "no", "n"))
"""Values of a query parameter that FastAPI reads as false."""
_CHECKED = "streamflow.checked"


def needs(join_key: str) -> Needs:
    """What every route needs, by method and path template."""
    model, version = "/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"
    return {
        ("POST", "/predict"): PREDICT,
        ("POST", "/predict/batch"): PREDICT,
        ("GET", f"/features/{{{join_key}}}"): FEATURES,
        ("POST", f"{model}/infer"): PREDICT,
        ("POST", f"{version}/infer"): PREDICT,
        # Open: they tell neither an entity's key nor anything about one.
        **dict.fromkeys(
            [
                ("GET", "/health"),
                ("GET", "/livez"),
                ("HEAD", "/livez"),
                ("GET", "/readyz"),
                ("HEAD", "/readyz"),
                ("GET", "/model"),
                ("GET", "/metrics"),
                ("GET", "/v2"),
                ("GET", "/v2/health/live"),
                ("GET", "/v2/health/ready"),
                ("GET", model),
                ("GET", version),
                ("GET", f"{model}/ready"),
                ("GET", f"{version}/ready"),
                ("GET", "/docs"),
                ("GET", "/docs/oauth2-redirect"),
                ("GET", "/openapi.json"),
                ("HEAD", "/openapi.json"),
                ("GET", "/static-offline-docs"),
            ],
            OPEN,
        ),
    }


class CheckedRoute(APIRoute):
    """A route that refuses a request whose access was not decided for this very route."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that `Access.check` let pass to this route."""
        # A request with another method is answered with 405 and reaches no handler.
        if scope["method"] in (self.methods or ()) and scope.get(_CHECKED) is not self:
            raise ProblemError(
                Problem("forbidden", "This request matched a route that it was not checked for.")
            )
        await super().handle(scope, receive, send)


class Access:
    """Decides whether a request may reach the route that it matches.

    Args:
        routes: Routes of the application, in the order in which they are tried.
        needed: What each of them needs.
        key_file: API keys; None requires no key.

    Raises:
        ValueError: A route is not listed in `needed`.
    """

    def __init__(self, routes: Iterable[BaseRoute], needed: Needs, key_file: KeyFile | None) -> None:
        self._routes = [(route, _needs_of(route, needed)) for route in routes]
        self._key_file = key_file

    def check(self, scope: Scope) -> None:
        """Match a request, and note its route in `scope`; one that matches none is left to the application.

        Raises:
            ProblemError: `bad_request`, or the caller lacks a scope that the route needs.
        """
        if _CONTROL.search(scope["path"]):
            raise ProblemError(Problem("bad_request", "The path contains a control character."))
        for route, by_method in self._routes:
            match = route.matches(scope)[0]
            if match is not Match.NONE:
                scope.setdefault("handler", path_of(route))
            if match is Match.FULL:
                scope["handler"] = path_of(route)
                needed = by_method[scope["method"] if scope["method"] in by_method else "GET"]
                if needed == PREDICT and scope["query_string"] and _shows_features(scope["query_string"]):
                    needed = PREDICT | FEATURES
                self.admit(scope, needed)
                scope[_CHECKED] = route
                return

    def admit(self, scope: Scope, needed: frozenset[str]) -> None:
        """Check the key of a request against the scopes that it needs.

        Raises:
            ProblemError: `unauthorized`, `forbidden` or `rate_limited`.
        """
        if self._key_file is None or not needed:
            return
        key, problem = self._key_file.check(scope["headers"], needed)
        if key is not None:
            scope["key_id"] = key.name
        if problem is not None:
            raise ProblemError(problem)


def path_of(route: BaseRoute) -> str:
    """Path template of a route, which contains no entity's key."""
    return str(getattr(route, "path", ""))


def _needs_of(route: BaseRoute, needed: Needs) -> dict[str, frozenset[str]]:
    if isinstance(route, Mount):
        methods = {"GET"}
    elif isinstance(route, Route | APIRoute):
        methods = set(route.methods or ())
    else:
        methods = set()
    path = path_of(route)
    if not methods or any((method, path) not in needed for method in methods):
        raise ValueError(f"The route {sorted(methods)} {path} is not in the list of what routes need.")
    return {method: needed[method, path] for method in methods}


def _shows_features(query: bytes) -> bool:
    """Whether the answer would reveal feature values; contributions do too, because they identify values."""
    asked = QueryParams(query).multi_items()
    return any(name in ("features", "explain") and value.lower() not in _FALSE for name, value in asked)
