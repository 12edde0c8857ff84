"""The parts of `benchmarks/pytorch_speed.py`."""
