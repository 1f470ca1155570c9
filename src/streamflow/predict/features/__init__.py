"""Feature rows from the online store."""
