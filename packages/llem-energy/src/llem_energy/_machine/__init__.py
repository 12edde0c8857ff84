"""The state of the machine: the snapshot in every result, memory, and `doctor`."""
