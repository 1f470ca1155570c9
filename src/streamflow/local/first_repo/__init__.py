"""`streamflow init`: write a first feature repo from CSV files, for its owner to edit.

read     read the files of one drop or of several
guess    what the tables, keys, types and the label may be
write    the files of the repo
"""
