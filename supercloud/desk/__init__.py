"""The portal's own socket: workers and the command line ask for locks, dead properties and tokens."""
