"""Any answer, and any run, again."""
