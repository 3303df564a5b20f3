"""Links in responses of applications that are shown under a path prefix: bytes in, bytes out, no I/O."""
