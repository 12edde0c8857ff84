"""The errors of this package."""

from llem_config import LlemError


class ReportError(LlemError):
    """A study folder cannot be analysed, exported or compared as requested."""


class ArgumentError(ReportError):
    """An argument is wrong whatever the study is, such as the name of a licence that does not exist."""

    exit_code = 2  # of wrong usage


class UnknownFigureError(ReportError):
    """The name of a figure is none that any study has, whatever its runs measured."""
