"""The errors of this package."""

from llem_config import LlemError


class ReportError(LlemError):
    """A study folder cannot be analysed, exported or compared as requested."""


class UnknownFigureError(ReportError):
    """The name of a figure is none that any study has, whatever its runs measured."""
