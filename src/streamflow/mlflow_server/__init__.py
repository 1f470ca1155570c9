"""What runs in MLflow's server: its accounts, and the record of who moves what in the registry."""
