"""Upgrade the databases: back them up, migrate a copy, ask it for predictions, and only then migrate the real ones.

steps.py    the upgrade from first to last step
copied.py   a copy of the databases beside the real ones, migrated, and deleted in the end
ask.py      predictions of a predict service on the copy, and of the one that serves
verdict.py  whether the answers allow the upgrade
stopped.py  what an upgrade that stopped says
"""
