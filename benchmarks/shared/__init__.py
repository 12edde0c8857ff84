"""What several benchmarks use: percentiles, and an environment with optimum-benchmark."""
