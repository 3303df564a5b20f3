"""Connections toward applications: connect, verify, HTTP/1.1, the pool."""
