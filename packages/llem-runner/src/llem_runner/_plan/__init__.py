"""The runs of a study and their order: pure functions."""
