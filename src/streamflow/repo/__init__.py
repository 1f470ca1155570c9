"""The feature repo. Only this package reads `feature_repo/`.

definitions   load a repo and check that its parts are consistent
problems      the rules that the parts must satisfy, with file and line
check         check a whole repo, and the settings that must fit it
declare       what the files of a repo are written with
words         what one entity is called, and several
declarations  source tables, label and slices as plain values
feast_config  Feast's configuration, with variables filled in
folder        recognize a feature repo and compute its digest
snapshots     name the snapshots that a feature view reads
modules       import its Python files
quick_feast   import Feast without its run-time type checks
"""
