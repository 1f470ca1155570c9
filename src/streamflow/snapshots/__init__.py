"""Stage 2: the source tables as of a date, as known at a time."""
