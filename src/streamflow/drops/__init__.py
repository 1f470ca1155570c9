"""Stage 1: a CSV drop comes in.

inbox    which drops lie in a folder or an object store
files    which CSV files a drop has, and the fingerprint of their content
read     bytes -> records with line numbers
parse    text -> types
check    records + declaration -> good rows, rejected rows with reasons
stage    rows -> temporary tables; duplicates and unknown entities
load     one transaction: ledger, source tables, quarantine
tables   the source tables themselves
ledger   questions to the ledger and the quarantine
"""
