"""A recorded run, repeated and compared."""
