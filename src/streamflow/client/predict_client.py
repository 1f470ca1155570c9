"""One client object for one predict service: requests, retries, and answers as typed values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2

from streamflow.client import answers
from streamflow.client.answers import BatchPrediction, Features, Health, Model, Prediction
from streamflow.client.errors import ClientError, UnexpectedAnswer, Unreachable, error_type, problem_of

_PROBLEM = "application/problem+json"
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

T = TypeVar("T")


class PredictClient:
    """Client of one predict service; use it as a context manager, or call `close`. Safe to share between threads.

    The service is reached directly, without the proxies that the environment configures.

    Args:
        url: Base address of the service.
        api_key: API key; empty sends none.
        join_key: Name of the entity's key in requests and answers.
        timeout_seconds: Longest wait for a connection, and again for the answer.
        retries: Further tries after a failed connection, or after a 503 that says when to try again.
        keep_alive: Reuse connections; without it a load balancer may send each request to another replica.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        join_key: str = "user_id",
        timeout_seconds: float = 10.0,
        retries: int = 2,
        keep_alive: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self._join_key = join_key
        self._retries = retries
        self._http = httpx2.Client(
            headers={"X-API-Key": api_key} if api_key else {},
            timeout=timeout_seconds,
            trust_env=False,
            limits=httpx2.Limits() if keep_alive else httpx2.Limits(max_keepalive_connections=0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self, entity: str, *, features: bool = False, explain: bool = False, request_id: str = ""
    ) -> Prediction:
        """Predict for one entity.

        Args:
            entity: Key of the entity.
            features: Ask for the values used.
            explain: Ask for what each feature contributed.
            request_id: Id for the service's log; without it the service makes one.

        Returns:
            The answer.

        Raises:
            ClientError: The service gave no prediction; the subclass says why.
        """
        asked = {name: "true" for name, wanted in (("features", features), ("explain", explain)) if wanted}
        response = self._send(
            "POST", "/predict", json={self._join_key: entity}, params=asked, request_id=request_id
        )
        return self._parsed(response, lambda document: answers.read_prediction(document, self._join_key))

    def predict_batch(self, entities: Sequence[str], *, request_id: str = "") -> BatchPrediction:
        """Predict for several entities by one model version.

        Args:
            entities: Keys of the entities.
            request_id: Id for the service's log; without it the service makes one.

        Returns:
            An answer for each entity, in their order.

        Raises:
            ClientError: The service refused the whole request.
        """
        response = self._send(
            "POST", "/predict/batch", json={f"{self._join_key}s": list(entities)}, request_id=request_id
        )
        return self._parsed(response, lambda document: answers.read_batch(document, self._join_key))

    def features(self, entity: str, *, request_id: str = "") -> Features:
        """Read the values that `predict` would use for an entity.

        Args:
            entity: Key of the entity.
            request_id: Id for the service's log; without it the service makes one.

        Returns:
            The values, and the problem that would keep `predict` from answering.

        Raises:
            ClientError: The service has no values of this entity, or cannot answer.
        """
        response = self._send("GET", f"/features/{quote(entity, safe='')}", request_id=request_id)
        return self._parsed(response, lambda document: answers.read_features(document, self._join_key))

    def model(self) -> Model:
        """Ask which model version is served, and why not another one.

        Raises:
            ClientError: The service does not answer.
        """
        return self._parsed(self._send("GET", "/model"), answers.read_model)

    def health(self) -> Health:
        """Ask whether the service can answer, and which dependency is down; never retried.

        Raises:
            ClientError: The service does not answer.
        """
        response = self._once("GET", "/health")
        if response.status_code not in (200, 503):
            raise self._error(response)
        return self._parsed(response, answers.read_health)

    def ready(self) -> bool:
        """Whether requests should be sent here; never retried.

        Raises:
            ClientError: The service does not answer.
        """
        response = self._once("GET", "/readyz")
        if response.status_code not in (200, 503):
            raise self._error(response)
        return response.status_code == 200

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> httpx2.Response:
        """Send a request, retry it where that may help, and raise any answer that is not a success."""
        pause = _FIRST_PAUSE_SECONDS
        for left in range(self._retries, -1, -1):
            try:
                response = self._once(method, path, json=json, params=params, request_id=request_id)
            except Unreachable as error:
                # A request that was sent is not sent again: it might wait a second time for a busy service.
                if not left or not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                    raise
            else:
                after = _retry_after(response)
                if response.status_code != 503 or after is None or not left:
                    break
                pause = max(pause, after)
            time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
            pause *= 2
        if not response.is_success:
            raise self._error(response)
        return response

    def _once(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> httpx2.Response:
        headers = {"X-Request-Id": request_id} if request_id else {}
        try:
            return self._http.request(method, f"{self.url}{path}", json=json, params=params, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unreachable(
                f"The predict service at {self.url} does not answer.", details=(str(error) or repr(error),)
            ) from error

    def _error(self, response: httpx2.Response) -> ClientError:
        if response.headers.get("content-type", "").partition(";")[0].strip() != _PROBLEM:
            return UnexpectedAnswer(self.url, response.status_code, response.text)
        try:
            document = response.json()
        except ValueError:
            document = {}
        problem = problem_of(document if isinstance(document, dict) else {}, response.status_code)
        return error_type(response.status_code)(problem, _retry_after(response))

    def _parsed(self, response: httpx2.Response, parse: Callable[[dict[str, Any]], T]) -> T:
        try:
            return parse(response.json())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnexpectedAnswer(self.url, response.status_code, response.text) from error


def _retry_after(response: httpx2.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
