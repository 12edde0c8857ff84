"""Ways to execute one run: one file or folder per way."""
