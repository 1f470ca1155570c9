"""Laptop mode: PostgreSQL, MLflow, Feast and predict as plain processes of one machine.

home.py        where a stack keeps its state: folder, address file, lock, free ports
processes.py   start, recognise, watch and stop detached processes
postgres.py    the embedded PostgreSQL
services.py    what each process of the stack is started with, and how it shows that it is ready
stack.py       up, down, status
demo.py        the whole way of the data
"""
