"""The GPUs of a study: locks, and their state between runs."""
