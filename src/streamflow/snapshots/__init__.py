"""Stage 2: the world as of A, as known at K."""
