"""Who holds a socket: questions and answers between hosts, in the wire format of ident2 (PROTOCOL.md)."""
