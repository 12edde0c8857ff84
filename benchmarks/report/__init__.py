"""The parts of `benchmarks/report_statistics.py`: simulated studies, how they are judged, other tools."""
