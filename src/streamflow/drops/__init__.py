"""Stage 1: a CSV drop comes in."""
