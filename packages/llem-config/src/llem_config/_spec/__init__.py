"""The pydantic models of a study file. Imports nothing else of this package but its errors."""
