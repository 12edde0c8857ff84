"""The `llem-cli` command (and `llem`, the same program)."""

import sys


def main() -> None:
    """Run the program and exit with its code."""
    try:
        # Imported here, so that Ctrl-C during the imports prints one word instead of a traceback.
        from llem_cli._app import main as program
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    program()


__all__ = ["main"]
