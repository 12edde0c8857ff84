"""Figures as Vega-Lite specifications, and their rendering."""
