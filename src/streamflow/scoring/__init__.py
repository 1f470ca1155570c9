"""Stage 7: all entities at once."""
