"""The source tables: master data, a month's sensor readings, and what failed."""

import pandera.pandas as pa

from streamflow.repo.declare import Words, column, key, table

TURBINE = key("turbine_id", pa.Check.str_matches(r"^T-[0-9]{4}\Z"))

TABLES = [
    table(
        "turbines",
        TURBINE,
        {
            "rotor_m": column("Float64", pa.Check.in_range(1, 300)),
            "foundation": column("string", pa.Check.isin(["land", "monopile", "floating"])),
            # Only what floats has moorings.
            "moorings": column("Int64", null="not_applicable"),
        },
        snapshots="turbine_snapshots",
        entities=Words("wind turbine"),
    ),
    table(
        "sensors",
        TURBINE,
        {
            "vibration_mm_s": column("Float64", pa.Check.ge(0), null="missing"),
            "hot_starts": column("Int64", pa.Check.ge(0)),
            "icing": column("boolean"),
        },
        snapshots="sensor_snapshots",
    ),
    table("failures", TURBINE, {"failed": column("boolean")}, snapshots="failure_snapshots"),
]
