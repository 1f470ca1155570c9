"""The lake: rows of drops as Parquet files, for `engine: spark`."""
