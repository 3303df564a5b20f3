"""Applications that people start as jobs: what there is, what is asked, the job, and what it says of itself. Runs in
the worker, as the user.
"""
