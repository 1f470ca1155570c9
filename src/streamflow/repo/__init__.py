"""The feature repo: the only door to `feature_repo/`.

definitions   load a repo and check that its parts fit together
declarations  its source tables, label and slices as values
feast_config  Feast's configuration for it
folder        whether a folder is a feature repo, and its digest
modules       its Python files, imported
quick_feast   Feast, imported fast
"""
