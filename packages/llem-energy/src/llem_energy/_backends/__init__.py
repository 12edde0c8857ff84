"""Inference libraries: the protocol, the registry, one folder per backend. Knows nothing of energy."""
