"""The pydantic models of a study file. May import `_errors`, and nothing else of this package."""
