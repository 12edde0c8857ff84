"""The structs of `result.json`, and how to read it back."""
