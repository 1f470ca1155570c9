"""Metrics, and exceptions in logs."""
