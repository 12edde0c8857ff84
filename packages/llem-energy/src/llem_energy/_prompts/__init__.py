"""Prompts: synthetic, from local files, from data sets of the hub. Knows nothing of energy."""
