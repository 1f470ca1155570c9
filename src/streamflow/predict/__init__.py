"""Stage 6: the online service."""
