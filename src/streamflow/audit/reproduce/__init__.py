"""Repeat a recorded run and compare the result with what it recorded."""
