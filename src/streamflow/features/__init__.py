"""Stage 3: Feast, offline and online."""
