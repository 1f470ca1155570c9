"""Comments on the tables that Feast fills: the online tables and its registry."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow.features.online_store import STAMPS, key_columns
from streamflow.postgres import catalog, comments
from streamflow.postgres.comments import Described
from streamflow.postgres.names import FEAST, ONLINE
from streamflow.repo.definitions import FeatureRepo

_STAMPS = dict(
    zip(
        STAMPS,
        (
            "As-of of the values.",
            "Stamp of the load of the values; null for pushed values without one.",
            "Materialization that wrote the row; 0 if it was pushed through Feast.",
        ),
        strict=True,
    )
)
_REGISTRY = {
    "project_id": "Feast's project.",
    "last_updated_timestamp": "When Feast wrote the row, in seconds since 1970.",
    "created_timestamp": "When Feast created the row, in seconds since 1970.",
    "materialized_intervals": "Windows that feast materialize recorded, as Feast serializes them.",
    "user_metadata": "Metadata that a user of Feast added.",
    "version_number": "Number of the version.",
    "version_id": "Id of the version.",
    "feature_view_type": "Kind of the feature view.",
    "description": "Description of the version.",
    "metadata_key": "Name of the entry.",
    "metadata_value": "Value of the entry.",
}


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Set the comments on the online tables, in the words of the feature views, and on Feast's registry."""
    entity = repo.entities[0]
    about_key = f"{entity.description or 'Key of the entity.'} Join key of the entity {entity.name}."
    online = {
        view.name: Described(
            f"{view.description or f'Feature view {view.name}.'} The newest values of each entity.",
            {
                **dict.fromkeys(key_columns(view), about_key),
                **{field.name: field.description or f"Feature {field.name}." for field in view.features},
                **_STAMPS,
            },
        )
        for view in repo.feature_views
    }
    comments.ensure(connection, ONLINE, online)
    registry = {
        table: Described(
            f"Feast's registry: {table.replace('_', ' ')}.",
            {column: _in_registry(column) for column in columns},
        )
        for table, columns in catalog.columns(connection, FEAST).items()
    }
    comments.ensure(connection, FEAST, registry)


def _in_registry(column: str) -> str:
    if column in _REGISTRY:
        return _REGISTRY[column]
    return "The object, as Feast serializes it." if column.endswith("_proto") else "Name of the object."
