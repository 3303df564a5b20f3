"""Whose process is it: the firewall rule, authorization, verified connections."""
