"""The jobs: the runner, and one recipe per job, in a module and a function named as the job."""
