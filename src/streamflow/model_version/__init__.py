"""The parts of a model version and their names: contract, files, tags, aliases, training set."""
