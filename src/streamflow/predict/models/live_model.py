"""The release that is served, and the last known state of the ledger and the online store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from streamflow.predict.features.online_facts import OnlineFacts
from streamflow.predict.features.read_plan import ReadPlan
from streamflow.release import Release, VersionPointer


@dataclass(frozen=True)
class Served:
    """A release with everything derived from it; a request uses one from start to end.

    Attributes:
        release: The verified model.
        plan: Reads its features.
        loaded_at: When it was swapped in, in seconds since 1970.
        settled: Whether it takes as little memory as it can.
    """

    release: Release
    plan: ReadPlan
    loaded_at: float
    settled: bool = False

    @property
    def label(self) -> dict[str, Any]:
        """Name and version for answers."""
        return {"name": self.release.pointer.name, "version": self.release.pointer.version}

    @cached_property
    def join_key_json(self) -> str:
        """Name of the entity's key in JSON."""
        return json.dumps(self.release.contract.join_key)

    @cached_property
    def common_json(self) -> str:
        """Members in JSON that every prediction by this release has, separated by commas."""
        return json.dumps({"threshold": self.release.contract.threshold, "model": self.label})[1:-1]

    @cached_property
    def features_json(self) -> list[tuple[str, int, str, int]]:
        """Of each feature: compact JSON before its value, its number, JSON behind its value, and its view's number."""
        features, views = self.release.contract.features, self.plan.views
        write = partial(json.dumps, ensure_ascii=False)
        # Of two features with the same name, an object has the last.
        last = {feature.name: number for number, feature in enumerate(features)}
        return [
            (f'{write(name)}:{{"value":', number, f',"view":{write(view)},', views.index(view))
            for name, number, view in ((name, n, features[n].view) for name, n in last.items())
        ]


@dataclass(frozen=True)
class RefusedVersion:
    """A version that failed a check and is not served.

    Attributes:
        pointer: The version.
        why: Sentence about the failed check.
        at: Time of the check, in seconds since 1970.
        missing: Whether its files are not stored yet, so that every poll tries again.
    """

    pointer: VersionPointer
    why: str
    at: float
    missing: bool = False


@dataclass
class LiveModel:
    """What is served now, and which versions were refused.

    Attributes:
        served: The current release; None until one was loaded.
        refused: The version in production by the ledger, if it failed a check.
        ledger_up: Whether the ledger could be read at the last look.
        in_production: Whether the ledger has a version in production; None until it was read.
        draining: Whether the process is shutting down.
        online: Last known facts about the online store; None until it has answered once.
        trials: Release on trial as `challenger` (shadow) and as `canary`, where there is one.
        refused_trials: Version on trial that failed a check, by alias.
    """

    served: Served | None = None
    refused: RefusedVersion | None = None
    ledger_up: bool = False
    in_production: bool | None = None
    draining: bool = False
    online: OnlineFacts | None = None
    trials: dict[str, Served] = field(default_factory=dict)
    refused_trials: dict[str, RefusedVersion] = field(default_factory=dict)

    def swap(self, release: Release) -> None:
        """Serve another release from now on; requests in progress finish with the old one."""
        self.served = make_served(release)
        self.refused = None

    def unload(self) -> None:
        """Serve nothing from now on; requests in progress finish with the old release."""
        self.served = self.refused = None
        self.trials.clear()
        self.refused_trials.clear()

    @property
    def newest(self) -> Mapping[str, float]:
        """Newest materialized event timestamp per feature view, in seconds since 1970; empty until known."""
        return self.online.newest if self.online else {}

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here; independent of shared dependencies."""
        return self.served is not None and not self.draining


def make_served(release: Release) -> Served:
    """Prepare a release to be served."""
    return Served(release, ReadPlan(release.contract), time.time())
