"""The registrar: what somebody moves in MLflow becomes a request, and the ledger's answer is written back."""
