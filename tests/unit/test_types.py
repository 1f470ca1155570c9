"""One row a type: the names are those that each system knows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import types as feast_types

from streamflow import types


@pytest.mark.parametrize("item", types.TYPES, ids=lambda item: item.name)
def test_every_name_is_one_of_its_system_and_leads_back(item):
    assert types.of(item.name) is item
    assert all(pd.api.types.pandas_dtype(name) is not None for name in item.pandas)
    assert all(types.of_pandas(name) is item for name in item.pandas)
    assert all(hasattr(feast_types, name) and types.of_feast(name) is item for name in item.feast)
    assert all(item.postgres and types.FEAST_COLUMNS[name] in item.postgres for name in item.feast)
    assert isinstance(item.zero, item.python) or item.name == "float"
    values = pa.array([item.zero], pa.type_for_alias(item.arrow))
    assert np.dtype(item.numpy) is not None
    assert values.to_pylist() == [item.zero]


def test_feasts_other_types_are_stored_and_no_model_takes_them():
    assert {types.COLUMNS_ONLY[name] for name in ("Bytes", "UnixTimestamp", "Json")} == {
        "bytea",
        "timestamptz",
        "jsonb",
    }
    for name in types.COLUMNS_ONLY:
        assert hasattr(feast_types, name)
        assert types.of_feast(name) is None


def test_an_unknown_dtype_is_not_a_type():
    with pytest.raises(KeyError):
        types.of_pandas("complex128")
