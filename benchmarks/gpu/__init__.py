"""The parts of `benchmarks/gpu_check.py`.

A part takes a `Check` and yields the rows of the table. The analysis of readings needs no hardware;
it is in `traces` and `waves`.
"""
