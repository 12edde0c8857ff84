"""The parts of `benchmarks/gpu_check.py`, and what they measure with.

A part takes a `Check` and yields a `Row` for each line of the table. What is found out from readings
stands apart from the parts and from any hardware, in `traces` and `waves`.
"""
