"""How commands reach the predict service that the settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streamflow.client import PredictClient, UnexpectedAnswer, Unreachable
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.settings import PredictSettings

_TIMEOUT_SECONDS = 30.0


@contextlib.contextmanager
def client(settings: PredictSettings) -> Iterator[PredictClient]:
    """A client of the service; it never retries, because a person waits.

    Raises:
        DependencyDown: The service does not answer.
        StreamFlowError: Something else listens at its address.
    """
    url = settings.url
    with PredictClient(
        url, join_key=settings.join_key, timeout_seconds=_TIMEOUT_SECONDS, retries=0
    ) as opened:
        try:
            yield opened
        except Unreachable as error:
            raise DependencyDown(
                error.what,
                hint="Start the local stack with 'streamflow up', or check STREAMFLOW_PREDICT__HOST and __PORT.",
                details=error.details,
            ) from None
        except UnexpectedAnswer:
            raise StreamFlowError(
                f"The server at {url} is not a predict service.",
                hint="Check STREAMFLOW_PREDICT__HOST and __PORT; 'streamflow status' says where the local one is.",
            ) from None
