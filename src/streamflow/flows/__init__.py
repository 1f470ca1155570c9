"""The jobs conducted by Prefect. No other package imports Prefect, and this one runs in an environment of its own."""
