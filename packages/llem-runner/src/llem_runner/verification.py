"""The structs of a verification, which `llem_runner.verify_study` returns."""

from llem_runner._archives.checked_file import CheckedFile
from llem_runner._verification.records import (
    CheckedInput,
    CheckedVersion,
    Requirement,
    Verification,
)

__all__ = ["CheckedFile", "CheckedInput", "CheckedVersion", "Requirement", "Verification"]
