"""Compare the columns that a contract needs with those that the online tables have. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.model_version.contract import Contract, unreadable_features

FILL_ONLINE_STORE = "Run 'streamflow features apply' and 'streamflow materialize'"
"""What to do when the online tables lack something."""


def problems(contract: Contract, online: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """What the online store lacks to serve the contract, one clause each; empty if it lacks nothing.

    Args:
        contract: Contract of the model version.
        online: Type per column, by online table, as `format_type` names it.
    """
    found = [f"there is no online table '{view.name}'" for view in contract.views if view.name not in online]
    for feature, kind in unreadable_features(contract, online):
        if feature.view not in online:
            continue
        if kind is None:
            found.append(f"'{feature.view}' has no column '{feature.name}'")
        else:
            found.append(f"'{feature.view}.{feature.name}' is {kind}, the model takes {feature.type}")
    return tuple(found)
