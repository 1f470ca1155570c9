"""A model is saved with the requirements that the caller gives, which are those that are installed."""

from importlib.metadata import version

import numpy as np
import pandas as pd
from mlflow.utils import environment, requirements_utils
from sklearn.linear_model import LogisticRegression

from streamflow.mlflow_api import sdk


def test_requirements_are_written_and_not_compared_with_all_packages(tmp_path, monkeypatch):
    compared = []
    monkeypatch.setattr(requirements_utils, "_check_requirement_satisfied", compared.append)
    compare = environment.warn_dependency_requirement_mismatches
    x = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    required = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn")]
    sdk.save_classifier(
        LogisticRegression().fit(x, np.array([False, True, False, True])),
        tmp_path / "model",
        x,
        pd.DataFrame({"probability": [0.5] * 4}),
        trusted_types=[],
        requirements=required,
        code="code",
        loader="loader",
    )
    assert (tmp_path / "model" / "requirements.txt").read_text().split() == required
    assert compared == []
    assert environment.warn_dependency_requirement_mismatches is compare
