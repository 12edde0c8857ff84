"""The runs of a study, in order. Pure functions: no files, no processes, no GPU."""
