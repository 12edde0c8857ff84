"""The commands: plain functions that parse, call the runner and show the result."""
