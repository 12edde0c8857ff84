"""What several benchmarks use: percentiles, and a peer in an environment of its own."""
