"""The errors of this package."""

from llem_config import LlemError


class ReportError(LlemError):
    """A study folder cannot be analysed, exported or compared as requested."""
