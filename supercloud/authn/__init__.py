"""Who is asking: sessions, tickets, one-time links, client certificates."""
