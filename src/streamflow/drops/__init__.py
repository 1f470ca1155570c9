"""Stage 1: validate and load a drop of CSV files.

inbox    open the inbox and list the drops in its folder
object_store copy the drops of an inbox in an object store to a folder
complete tell complete drops from those that are still being delivered
dates    read a drop's date from the name of its folder
raw_file open regular files alone, without following links, and limit their lines
files    locate the CSV files of a drop and fingerprint their content
blocks   cut bytes into blocks of whole lines; tell which need no CSV reader
read     split bytes into blocks, and blocks into records with line numbers
parse    convert text to typed values
check    validate records against a table's declaration
conditions evaluate a declaration's checks on whole columns
copy_rows copy valid rows to a temporary table
key_sequence tell files with the same keys in the same order
stage    copy rows to temporary tables; reject duplicates and unknown entities
rows     where the rows are stored: in the source tables, or in the lake
store    append staged rows to ledger, store of rows and quarantine
quoting  quote names and values in messages, cut and printable
limits   how long and wide files may be
load     run all of this for a drop, in one transaction
tables   create and extend the source tables
ledger   query the ledger and the quarantine
"""
