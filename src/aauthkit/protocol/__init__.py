"""The protocol, pure: bytes and values in, values out. No I/O, no framework, no clock, no randomness, no globals."""
