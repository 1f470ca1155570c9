"""The recipes: what the CLI and the CronJobs run."""
