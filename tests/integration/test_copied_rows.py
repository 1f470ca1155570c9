"""Rows that are copied as the bytes of the file are in PostgreSQL the values that they were parsed to."""

from datetime import date

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from streamflow.drops import parse
from streamflow.drops.blocks import Block
from streamflow.drops.check import Checked, RowChecker
from streamflow.drops.copy_rows import LINE_DEFINITION, RowCopier, same_in_postgres
from streamflow.drops.tables import column_definitions
from streamflow.postgres.engine import transaction
from streamflow.repo.declarations import source_table

pytestmark = pytest.mark.postgres

TEXT = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n",'), max_size=6)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.sampled_from(
    ["0", "-0.0", "1e-400", f"0.{'0' * 400}1", "4.9e-324", ".5", "5.", "36.51436986437612", "1E+5"]
)
CELLS = {
    "key": TEXT.filter(bool),
    "number": st.integers(-(2**63), 2**63 - 1).map(str) | st.sampled_from(["", "007", "-0"]),
    "share": FLOATS | st.just(""),
    "flag": st.sampled_from([*parse.TRUE, *parse.FALSE, ""]),
    "text": TEXT | st.sampled_from(["\\.", "\\N", "One year", "é"]),
    "day": st.dates(parse.FIRST_DATE, parse.LAST_DATE).map(str) | st.just(""),
}


@pytest.fixture(scope="module")
def table():
    import pandera.pandas as pa

    dtypes = ["string", "Int64", "Float64", "boolean", "string", "datetime64[ns]"]
    columns = {
        name: pa.Column(dtype, nullable=name != "key") for name, dtype in zip(CELLS, dtypes, strict=True)
    }
    schema = pa.DataFrameSchema(columns, name="things", strict=True, metadata={"snapshots": "s"})
    return source_table(schema)


@pytest.fixture(scope="module")
def connection(module_settings, table):
    with transaction(module_settings.database) as connection:
        connection.execute(sa.text("SET LOCAL extra_float_digits = 1"))
        for name in ("bytes", "values"):
            connection.execute(
                sa.text(f'CREATE TEMP TABLE "{name}" ({LINE_DEFINITION}, {column_definitions(table)})')
            )
        yield connection
        connection.rollback()


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(rows=st.lists(st.tuples(*CELLS.values()), min_size=1, max_size=6), start=st.integers(2, 10**9))
def test_bytes_are_copied_as_the_values_that_they_were_parsed_to(connection, table, rows, start):
    data = "".join(",".join(row) + "\n" for row in rows).encode()
    block = Block(data, start, len(rows))
    checker = RowChecker(table, range(len(CELLS)), date(2024, 1, 31))
    checked = checker.check_block(block)
    if checked.whole is None or not same_in_postgres(block, checked.accepted):
        return
    found = []
    for name, those in (("bytes", checked), ("values", Checked(checked.accepted, []))):
        connection.execute(sa.text(f'TRUNCATE "{name}"'))
        with RowCopier(connection, f'"{name}"', checker.field_names) as copier:
            copier.add(those)
        found.append(connection.execute(sa.text(f'SELECT "{name}"::text FROM "{name}" ORDER BY line')).all())
    assert found[0] == found[1]
    assert len(found[0]) == len(rows)
