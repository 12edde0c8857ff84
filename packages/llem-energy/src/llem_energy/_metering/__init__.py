"""Reading a source over time: calibration, sampling, windows. May import `_sources`."""
