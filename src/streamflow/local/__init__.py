"""Laptop mode: PostgreSQL, MLflow, Feast and predict as plain processes of one machine.

home.py        where a stack keeps its state: folder, address file, lock, free ports
processes.py   start, recognise, watch and stop detached processes
postgres.py    the embedded PostgreSQL
services.py    how each process is started, and how to tell that it is ready
stack.py       up, down, status
demo.py        the whole way of the data
simulate.py    simulated drops
doctor.py      checks with advice
"""
