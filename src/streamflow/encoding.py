"""Feature values -> the float32 matrix a classifier takes. Pure numpy, shared by training and predict.

Columns, in this order (the order of scikit-learn's ColumnTransformer in `training/fit.py`):

    1. numbers       required int, float and bool features, as they are
    2. nullable      nullable ones, absent as 0
    3. absent        one indicator per nullable feature, 1 where absent
    4. categories    one column per category of each string feature, one-hot
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.model_version.contract import Feature

LARGEST = float(np.finfo(np.float32).max)
"""Largest number, up or down, that a model takes; beyond it a value would become infinite."""


class UnknownCategoryError(ValueError):
    """A string feature has a value that the model was not trained on."""

    def __init__(self, feature: str, value: object) -> None:
        super().__init__(f"{feature} has the value {value!r}, which the model does not know")
        self.feature = feature
        self.value = value


def numbers(features: Sequence[Feature]) -> list[str]:
    """Names of the required numeric features, in encoding order."""
    return [feature.name for feature in features if feature.type != "string" and not feature.nullable]


def nullables(features: Sequence[Feature]) -> list[str]:
    """Names of the nullable numeric features, in encoding order."""
    return [feature.name for feature in features if feature.type != "string" and feature.nullable]


def categoricals(features: Sequence[Feature]) -> list[Feature]:
    """The string features, in encoding order."""
    return [feature for feature in features if feature.type == "string"]


def column_names(features: Sequence[Feature]) -> list[str]:
    """Names of the encoded columns, for plots and importances."""
    names = [*numbers(features), *nullables(features), *(f"{name} is absent" for name in nullables(features))]
    return names + [
        f"{feature.name} = {value}" for feature in categoricals(features) for value in feature.categories
    ]


class Encoder:
    """Encodes rows of feature values; built once per release."""

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
            rows: n rows; required values are not None (the caller has refused those).

        Returns:
            Matrix of shape (n, width).

        Raises:
            UnknownCategoryError: a string value the model does not know.
        """
        matrix = np.zeros((len(rows), self.width), dtype=np.float32)
        absent_at = len(self._numbers) + len(self._nullables)
        for line, row in zip(matrix, rows, strict=True):
            line[: len(self._numbers)] = [row[position] for position in self._numbers]
            for offset, position in enumerate(self._nullables):
                value = row[position]
                if value is None or value != value:
                    line[absent_at + offset] = 1.0
                else:
                    line[len(self._numbers) + offset] = value
            for position, name, columns in self._categories:
                column = columns.get(row[position])
                if column is None:
                    raise UnknownCategoryError(name, row[position])
                line[column] = 1.0
        return matrix

    def encode_columns(
        self, columns: Sequence[npt.NDArray[Any]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Encode whole columns in the order of the features, to the same bits as `encode`.

        Args:
            columns: One array of n values per feature; an absent nullable value is NaN, a string an object.

        Returns:
            Matrix of shape (n, width), and which rows hold a category that the model does not know; their rows
            of the matrix mean nothing.
        """
        n = len(columns[0]) if columns else 0
        matrix = np.zeros((n, self.width), dtype=np.float32)
        unknown = np.zeros(n, dtype=np.bool_)
        absent_at = len(self._numbers) + len(self._nullables)
        # Through float64, as `encode` goes by Python's float: an integer is rounded by the same two steps.
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
