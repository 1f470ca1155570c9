"""Digests of what a database holds, to compare one that was disturbed with one that was not."""

import re

# Dates and numbers differ from run to run; a relation is compared without the columns that have such names.
VARYING = re.compile(
    r"(_at|seconds|hash|facts|materialization_id|scoring_id|quarantine_id|run_id|transaction|stamp|signature)$"
    "|^visible"
)


def digests(connection, schemas, ignored):
    """Number of rows and digest of the columns that do not vary, of each relation of the schemas."""
    columns = connection.execute(
        "SELECT t.table_schema, t.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position)"
        " FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)"
        " WHERE t.table_schema = ANY(%s) AND t.table_type = 'BASE TABLE' GROUP BY 1, 2 ORDER BY 1, 2",
        (list(schemas),),
    ).fetchall()
    found = {}
    for schema, table, names in columns:
        kept = [f'"{each}"' for each in names if not VARYING.search(each)]
        if table in ignored or not kept:
            continue
        rows = f"SELECT {', '.join(kept)} FROM {schema}.{table}"
        found[f"{schema}.{table}"] = connection.execute(
            f"SELECT count(*), md5(string_agg(r::text, E'\\n' ORDER BY r::text)) FROM ({rows}) r"
        ).fetchone()
    return found
