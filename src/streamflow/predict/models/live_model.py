"""The release that is being served, and what is known about the registry; swapped in one assignment."""

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
    """One release with everything derived from it; a request takes it once and keeps to it.

    Attributes:
        release: The model.
        plan: How its features are read.
        source: Where its files came from.
        loaded_at: When it was swapped in, seconds since 1970.
    """

    release: Release
    plan: ReadPlan
    source: Source
    loaded_at: float

    @property
    def label(self) -> dict[str, Any]:
        """Name and version, as they stand in answers."""
        return {"name": self.release.pointer.name, "version": self.release.pointer.version}


@dataclass(frozen=True)
class RefusedVersion:
    """A version that failed a check and stays out.

    Attributes:
        pointer: The version.
        why: Which check, in a sentence.
        at: When, seconds since 1970.
        source: Where its files came from.
    """

    pointer: VersionPointer
    why: str
    at: float
    source: Source = "registry"


@dataclass
class LiveModel:
    """What is served now, and why not something else.

    Attributes:
        served: The current release; None until one was loaded.
        refused: The version that the alias points at and that failed; None when all is well.
        registry_up: Whether the last question to the registry was answered.
        alias_set: Whether the alias points at anything, as far as the registry has answered.
        draining: Whether the process is about to end.
        online: What the online store said of itself last; None until it has answered once.
        trials: What is behind the aliases `challenger` (shadow) and `canary`, where they are set.
        refused_trials: Versions on trial that failed a check.
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
        """Serve another release from now on; requests under way end with the old one."""
        self.served = make_served(release, source)
        if source == "registry":
            self.refused = None

    @property
    def newest(self) -> Mapping[str, float]:
        """Newest materialized event timestamp per feature view, seconds since 1970; empty until it is known."""
        return self.online.newest if self.online else {}

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here; asks no shared dependency."""
        return self.served is not None and not self.draining


def make_served(release: Release, source: Source) -> Served:
    """A release with what is derived from it, from now on."""
    return Served(release, ReadPlan(release.contract), source, time.time())
