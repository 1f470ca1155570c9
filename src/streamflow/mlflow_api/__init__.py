"""The two ways to reach MLflow: its REST API and its SDK."""
