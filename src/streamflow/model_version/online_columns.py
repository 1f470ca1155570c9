"""What a contract demands of the online tables, against the columns that they have. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.model_version.contract import Contract, unfit

FILL_ONLINE_STORE = "Run 'streamflow features apply' and 'streamflow materialize'"
"""The next step when the online tables lack something."""


def problems(contract: Contract, online: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """What the online store lacks to serve the contract, a clause each; empty when it has everything.

    Args:
        online: Type per column, by online table, as `format_type` names it.
    """
    found = [f"there is no online table '{view.name}'" for view in contract.views if view.name not in online]
    for feature, kind in unfit(contract, online):
        if feature.view not in online:
            continue
        if kind is None:
            found.append(f"'{feature.view}' has no column '{feature.name}'")
        else:
            found.append(f"'{feature.view}.{feature.name}' is {kind}, the model takes {feature.type}")
    return tuple(found)
