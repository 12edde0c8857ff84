"""A study from start to end: run, resume, gaps, limits."""
