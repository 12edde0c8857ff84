"""Execute each run in a process of its own on this machine."""
