"""Where a study comes from: the code, the packages and the command line that started it."""
