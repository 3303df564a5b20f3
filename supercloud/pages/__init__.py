"""The workspace: pages and the JSON API, served by each person's own worker, as that person."""
