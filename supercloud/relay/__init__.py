"""Carrying between two legs: HTTP exchanges, WebSockets, tunnels."""
