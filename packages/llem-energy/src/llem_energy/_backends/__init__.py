"""Inference libraries: the protocol, the registry, one folder per backend. Independent of energy."""
