"""Contenders written for comparison; start one with `python -m bench.apps.NAME PORT`."""
