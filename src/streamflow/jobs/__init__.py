"""The jobs: the runner, and one recipe a job, in a module and a function of its name."""
