"""Compare the columns that a contract needs with those of the online tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.model_version.contract import Contract, unreadable_features

FILL_ONLINE_STORE = "Run 'streamflow features apply' and 'streamflow materialize'"
"""Hint for messages about missing online tables or columns."""


def problems(contract: Contract, online: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """List what prevents the online store from serving a contract.

    Args:
        contract: Contract of the model version.
        online: Type of each column, by online table, as PostgreSQL's `format_type` names it.

    Returns:
        One clause per missing table, missing column and wrong type; empty if the contract can be served.
    """
    found = [f"there is no online table '{view.name}'" for view in contract.views if view.name not in online]
    for feature, kind in unreadable_features(contract, online):
        # The missing table is reported already.
        if feature.view not in online:
            continue
        if kind is None:
            found.append(f"'{feature.view}' has no column '{feature.name}'")
        else:
            found.append(f"'{feature.view}.{feature.name}' is {kind}, the model takes {feature.type}")
    return tuple(found)
