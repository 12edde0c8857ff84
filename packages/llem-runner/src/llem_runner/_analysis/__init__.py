"""Statistics over the results of a study."""
