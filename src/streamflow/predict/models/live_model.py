"""The release that is served, and the last known state of the registry and the online store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.predict.features.online_facts import OnlineFacts
from streamflow.predict.features.read_plan import ReadPlan
from streamflow.release import Release, VersionPointer

Source = Literal["registry", "cache"]


@dataclass(frozen=True)
class Served:
    """A release with everything derived from it; a request uses one from start to end.

    Attributes:
        release: The verified model.
        plan: Reads its features.
        source: Where its files come from.
        loaded_at: When it was swapped in, in seconds since 1970.
    """

    release: Release
    plan: ReadPlan
    source: Source
    loaded_at: float

    @property
    def label(self) -> dict[str, Any]:
        """Name and version for answers."""
        return {"name": self.release.pointer.name, "version": self.release.pointer.version}


@dataclass(frozen=True)
class RefusedVersion:
    """A version that failed a check and is not served.

    Attributes:
        pointer: The version.
        why: Sentence about the failed check.
        at: Time of the check, in seconds since 1970.
        source: Where its files come from.
    """

    pointer: VersionPointer
    why: str
    at: float
    source: Source = "registry"


@dataclass
class LiveModel:
    """What is served now, and which versions were refused.

    Attributes:
        served: The current release; None until one was loaded.
        refused: The version behind the alias, if it failed a check.
        registry_up: Whether MLflow answered the last request.
        alias_set: Whether the alias is set; None until MLflow has answered.
        draining: Whether the process is shutting down.
        online: Last known facts about the online store; None until it has answered once.
        trials: Release behind each of the aliases `challenger` (shadow) and `canary` that is set.
        refused_trials: Version on trial that failed a check, by alias.
    """

    served: Served | None = None
    refused: RefusedVersion | None = None
    registry_up: bool = False
    alias_set: bool | None = None
    draining: bool = False
    online: OnlineFacts | None = None
    trials: dict[str, Served] = field(default_factory=dict)
    refused_trials: dict[str, RefusedVersion] = field(default_factory=dict)

    def swap(self, release: Release, source: Source) -> None:
        """Serve another release from now on; requests in progress finish with the old one."""
        self.served = make_served(release, source)
        if source == "registry":
            self.refused = None

    @property
    def newest(self) -> Mapping[str, float]:
        """Newest materialized event timestamp per feature view, in seconds since 1970; empty until known."""
        return self.online.newest if self.online else {}

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here; independent of shared dependencies."""
        return self.served is not None and not self.draining


def make_served(release: Release, source: Source) -> Served:
    """Prepare a release to be served."""
    return Served(release, ReadPlan(release.contract), source, time.time())
