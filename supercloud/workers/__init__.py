"""Processes that run as somebody: becoming an account for good."""
