"""What a model version is: contract, files, tags, run record."""
