"""HTTP/1.1 messages as values: heads, fields, body framing (RFC 9110, RFC 9112). No I/O."""
