"""Stage 3: Feast, offline and online."""

# Before any module here imports Feast by itself.
from streamflow.repo import quick_feast as quick_feast
