"""Prompts: synthetic, from local files, from data sets of the hub. Independent of energy."""
