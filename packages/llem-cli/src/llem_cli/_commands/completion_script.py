"""The completion script of a shell: that of the library of the command line, made complete."""

from __future__ import annotations

from typing import Literal

from llem_cli._app import app

_SHORT_NAME = "llem"
"""The program under its other name."""
_ZSH_END = """
# A file of $fpath with any name has to call its function; a file that is sourced has to register it.
if [[ ${zsh_eval_context[-1]} == (loadautofunc|shfunc) ]]; then
  _cyclopts_llem-cli "$@"
else
  compdef _cyclopts_llem-cli llem-cli llem
fi
"""


def completion_script(shell: Literal["bash", "zsh", "fish"]) -> str:
    """Return a script that completes commands, options, choices and files."""
    script: str = app.generate_completion(shell=shell)
    match shell:
        case "bash":
            return f"{script.rstrip()}\ncomplete -F _llem_cli {_SHORT_NAME}\n"
        case "fish":
            return f"{script.rstrip()}\ncomplete -c {_SHORT_NAME} -w llem-cli\n"
        case "zsh":
            first, rest = script.split("\n", 1)
            return f"{first} {_SHORT_NAME}\n{rest.rstrip()}\n{_ZSH_END}"
