"""Read the newest scores from `streamflow.scores`."""

from __future__ import annotations

import pyarrow as pa

from streamflow.errors import NotYet
from streamflow.postgres import copied
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import PLATFORM
from streamflow.scoring import score
from streamflow.settings import DatabaseSettings

_TYPES = {"entity": pa.string(), "probability": pa.float64(), "prediction": pa.bool_()}


def newest(database: DatabaseSettings, model: str) -> tuple[score.Scoring, pa.Table]:
    """Read the newest scoring of a model: which version scored what, and entity, probability and prediction by entity.

    Args:
        database: How to connect to PostgreSQL.
        model: Name of the registered model.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        NotYet: The model was never scored.
    """
    with transaction(database) as connection:
        scoring = score.newest(connection, model)
        if scoring is None:
            raise NotYet(
                f"There are no scores of the model '{model}'.",
                hint="Run 'streamflow score', or set STREAMFLOW_MLFLOW__REGISTERED_MODEL.",
            )
        select = (
            f"SELECT {', '.join(_TYPES)} FROM {PLATFORM}.scores"
            f" WHERE scoring_id = {int(scoring.scoring_id)} ORDER BY entity"
        )
        return scoring, copied.table(connection, select, _TYPES)
