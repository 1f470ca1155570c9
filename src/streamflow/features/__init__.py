"""Stage 3: training sets from Feast's offline store, and materialization into its online store."""

# First, because a direct import of Feast includes its run-time type checks, half of the import's CPU time.
from streamflow.repo import quick_feast as quick_feast
