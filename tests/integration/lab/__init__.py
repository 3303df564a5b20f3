"""What the integration tests stand on: accounts, nodes, certificates, processes, a test application."""
