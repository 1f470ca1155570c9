"""Metrics, logs and the log of predictions."""
