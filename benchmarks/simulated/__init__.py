"""Simulated studies with a known truth: the parts of `energy_statistics.py`."""
