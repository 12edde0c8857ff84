"""The gain of a board's sensor, from the log of an external power meter."""
