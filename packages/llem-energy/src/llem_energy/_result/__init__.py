"""The structs of `result.json`, and how it is written and read."""
