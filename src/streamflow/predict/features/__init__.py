"""Feature rows out of the online store."""
