"""The `llem-cli` command (and `llem`, the same program)."""

from llem_cli._app import main

__all__ = ["main"]
