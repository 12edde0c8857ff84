"""The local executor: every run in a new child process, which is always gone afterwards."""
