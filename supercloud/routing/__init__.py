"""Where an address leads: origins, prefixes, nodes, and the fields rewritten on the way."""
