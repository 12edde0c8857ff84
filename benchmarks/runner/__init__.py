"""The parts of `benchmarks/runner_overhead.py` and `benchmarks/fault_campaign.py`."""
