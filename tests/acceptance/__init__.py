"""The long tests, each by name: ``python -m tests.acceptance [--list] [--only NAME]``; one module a name."""
