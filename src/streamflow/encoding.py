"""Encode feature values as the float32 matrix that a classifier takes. Pure.

Training, the predict service and batch scoring share this encoder. The columns are in the same order as those of
scikit-learn's ColumnTransformer in `training/fit.py`:

    1. numbers       required int, float and bool features, unchanged
    2. nullable      nullable int, float and bool features, with 0 for null
    3. absent        one indicator per nullable feature, 1 for null
    4. categories    one column per category of each string feature, one-hot encoded
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    # At run time it needs nothing of StreamFlow: each model version has a copy of it for MLflow's clients.
    from streamflow.model_version.contract import Feature

LARGEST = float(np.finfo(np.float32).max)
"""Largest absolute value that a model takes; a larger one would become infinite in float32."""


class UnknownCategoryError(ValueError):
    """A string feature has a value that the model was not trained on.

    Attributes:
        feature: Name of the feature.
        value: Value that is not one of the feature's categories.
    """

    def __init__(self, feature: str, value: object) -> None:
        super().__init__(f"{feature} has the value {value!r}, which the model does not know")
        self.feature = feature
        self.value = value


def numbers(features: Sequence[Feature]) -> list[str]:
    """Return the names of the required numeric and boolean features, in the order of their columns."""
    return [feature.name for feature in features if feature.type != "string" and not feature.nullable]


def nullables(features: Sequence[Feature]) -> list[str]:
    """Return the names of the nullable numeric and boolean features, in the order of their columns."""
    return [feature.name for feature in features if feature.type != "string" and feature.nullable]


def categoricals(features: Sequence[Feature]) -> list[Feature]:
    """Return the string features, in the order of their columns."""
    return [feature for feature in features if feature.type == "string"]


def column_names(features: Sequence[Feature]) -> list[str]:
    """Return a readable name for each encoded column."""
    names = [*numbers(features), *nullables(features), *(f"{name} is absent" for name in nullables(features))]
    return names + [
        f"{feature.name} = {value}" for feature in categoricals(features) for value in feature.categories
    ]


class Encoder:
    """Encodes rows of feature values; built once per release.

    Args:
        features: Schema of the features, in the order of the values in a row.

    Attributes:
        width: Number of encoded columns.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        order = {feature.name: position for position, feature in enumerate(features)}
        self.width = len(column_names(features))
        self._numbers = [order[name] for name in numbers(features)]
        self._nullables = [order[name] for name in nullables(features)]
        self._categories: list[tuple[int, str, dict[str, int]]] = []
        at = len(self._numbers) + 2 * len(self._nullables)
        for feature in categoricals(features):
            columns = {value: at + offset for offset, value in enumerate(feature.categories)}
            self._categories.append((order[feature.name], feature.name, columns))
            at += len(columns)

    def encode(self, rows: Sequence[Sequence[Any]]) -> npt.NDArray[np.float32]:
        """Encode rows whose values are in the order of the features.

        Args:
            rows: Rows of feature values. The caller has refused rows in which a required value is None.

        Returns:
            Matrix of shape (n, width).

        Raises:
            UnknownCategoryError: A string feature has a value that the model does not know.
        """
        known = len(self._numbers)
        absent_at = known + len(self._nullables)
        rest = [0.0] * (self.width - known)
        lines = []
        for row in rows:
            line = [row[position] for position in self._numbers] + rest
            for offset, position in enumerate(self._nullables):
                value = row[position]
                # NaN is the only value that does not equal itself.
                if value is None or value != value:
                    line[absent_at + offset] = 1.0
                else:
                    line[known + offset] = value
            for position, name, columns in self._categories:
                column = columns.get(row[position])
                if column is None:
                    raise UnknownCategoryError(name, row[position])
                line[column] = 1.0
            lines.append(line)
        # One conversion for all rows costs less than one for each.
        return np.array(lines, dtype=np.float32).reshape(len(lines), self.width)

    def encode_columns(
        self, columns: Sequence[npt.NDArray[Any]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Encode whole columns at once, to the same bits as `encode`.

        Args:
            columns: One array of n values per feature, in the order of the features. NaN is null, and strings are in
                an array of objects.

        Returns:
            Matrix of shape (n, width), and n flags that mark the rows with an unknown category. The encoding of a
            marked row is meaningless.
        """
        n = len(columns[0]) if columns else 0
        matrix = np.zeros((n, self.width), dtype=np.float32)
        unknown = np.zeros(n, dtype=np.bool_)
        absent_at = len(self._numbers) + len(self._nullables)
        # Convert through float64, as `encode` converts through Python's float, so that integers are rounded alike.
        for offset, position in enumerate(self._numbers):
            matrix[:, offset] = columns[position].astype(np.float64)
        for offset, position in enumerate(self._nullables):
            values = columns[position].astype(np.float64)
            absent = np.isnan(values)
            matrix[:, len(self._numbers) + offset] = np.where(absent, 0.0, values)
            matrix[:, absent_at + offset] = absent
        for position, _, known in self._categories:
            found = np.zeros(n, dtype=np.bool_)
            for value, column in known.items():
                same = columns[position] == value
                matrix[:, column] = same
                found |= same
            unknown |= ~found
        return matrix, unknown
