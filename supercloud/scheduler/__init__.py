"""Where applications run as jobs: SLURM, or this one machine. Runs in the worker, as the user."""
