"""The source tables: master data, a month's sensor readings, and what failed."""

import pandera.pandas as pa

KEY = pa.Column("string", pa.Check.str_matches(r"^T-[0-9]{4}\Z"), nullable=False)


def _table(
    name: str, snapshots: str, columns: dict[str, pa.Column], *, entities: bool = False
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {"turbine_id": KEY, **columns},
        name=name,
        unique=["turbine_id"],
        strict=True,
        metadata={"snapshots": snapshots, "entities": entities},
    )


TABLES = [
    _table(
        "turbines",
        "turbine_snapshots",
        {
            "rotor_m": pa.Column("Float64", pa.Check.in_range(1, 300), nullable=False),
            "foundation": pa.Column(
                "string", pa.Check.isin(["land", "monopile", "floating"]), nullable=False
            ),
            # Only what floats has moorings.
            "moorings": pa.Column("Int64", nullable=True, metadata={"null": "not_applicable"}),
        },
        entities=True,
    ),
    _table(
        "sensors",
        "sensor_snapshots",
        {
            "vibration_mm_s": pa.Column("Float64", pa.Check.ge(0), nullable=True),
            "hot_starts": pa.Column("Int64", pa.Check.ge(0), nullable=False),
            "icing": pa.Column("boolean", nullable=False),
        },
    ),
    _table("failures", "failure_snapshots", {"failed": pa.Column("boolean", nullable=False)}),
]
