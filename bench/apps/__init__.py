"""Contenders that are not ours; each is `python -m bench.apps.NAME PORT`."""
