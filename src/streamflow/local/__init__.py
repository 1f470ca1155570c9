"""Laptop mode: PostgreSQL, MLflow, Feast and predict as ordinary processes on one machine.

home.py        the stack's home folder: address file, password, lock, and the choice of free ports
processes.py   starts, identifies, monitors and stops detached processes
postgres.py    the embedded PostgreSQL
services.py    command, environment and readiness check of each service
prefect.py     Prefect's server and the conductor beside the stack
prefect_python.py  the interpreter that has Prefect
stack.py       `up`, `down` and `status`
demo.py        the pipeline from drops to predictions, end to end
simulate.py    writes simulated drops
doctor.py      diagnoses problems and suggests fixes
"""
