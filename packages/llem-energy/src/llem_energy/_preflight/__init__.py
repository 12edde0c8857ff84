"""Checks whether an experiment can run on this machine, before anything is loaded."""
