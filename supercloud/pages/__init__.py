"""The workspace: pages and an API that a worker serves to its account."""
