"""People to train on."""

import numpy as np
import pandas as pd

from streamflow.model_version.contract import Feature

FEATURES = (
    Feature("plan", "v", "string", categories=("basic", "pro")),
    Feature("months", "v", "int"),
    Feature("tv", "v", "bool", nullable=True),
    Feature("fee", "v", "float"),
    Feature("paperless", "v", "bool"),
    Feature("region", "w", "string", categories=("north", "south", "west")),
    Feature("seats", "w", "int", nullable=True),
    Feature("hours", "w", "float", nullable=True),
)


def people(seed=7, rows=600):
    """Rows with distinctive fees and hours, and one person with values far from everybody's."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "plan": random.choice(["basic", "pro"], rows).astype(object),
            "months": random.integers(0, 70, rows),
            "tv": random.choice([0.0, 1.0, np.nan], rows),
            "fee": random.uniform(10, 100, rows),
            "paperless": random.random(rows) < 0.5,
            "region": random.choice(["north", "south", "west"], rows).astype(object),
            "seats": np.where(random.random(rows) < 0.2, np.nan, random.integers(1, 9, rows)),
            "hours": np.where(random.random(rows) < 0.2, np.nan, random.uniform(0, 300, rows)),
        }
    )
    frame.loc[rows // 2, ["fee", "months"]] = [9876.54321, 1187]
    score = frame["months"] / 70 + frame["tv"].isna() * 0.8 + (frame["plan"] == "pro") * 0.5
    return frame, (score + random.normal(0, 0.3, rows) > 1.0).to_numpy()
