"""The lake: rows of drops as Parquet files, with `engine: spark`. PostgreSQL has the ledger, which says what counts."""
