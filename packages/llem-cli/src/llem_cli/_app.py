"""The program: its commands by name, and what becomes of an error.

Commands are registered by import string, so that `--help` loads none of them, and nothing here
loads the runner: a second saved for whoever only wants to look something up.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="llem-cli",
    help="Measure what LLM inference costs in energy, over broad sweeps of its implementation.",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` says what was interrupted
)
study = App(name="study", help="A study file: many experiments, repeated, with pauses.")
experiment = App(name="experiment", help="A single experiment.")
app.command(study)
app.command(experiment)
study.command(
    "llem_cli._commands.study:run", name="run", help="Run every experiment of a study file."
)
study.command(
    "llem_cli._commands.study:validate",
    name="validate",
    help="Check a study file and count its points.",
)
study.command(
    "llem_cli._commands.study:plan",
    name="plan",
    help="Show every run of a study in execution order.",
)
study.command(
    "llem_cli._commands.study:resume", name="resume", help="Run what is left of a study's folder."
)
study.command(
    "llem_cli._commands.study:show", name="show", help="Show what a study's folder holds."
)
experiment.command(
    "llem_cli._commands.experiment:run",
    name="run",
    help="Measure one experiment and print its result.",
)
app.command(
    "llem_cli._commands.doctor:doctor",
    name="doctor",
    help="Show what this machine can measure and how well; exit code 1 if no source of energy "
    "can be read.",
)
app.command(
    "llem_cli._commands.reference:schema",
    name="schema",
    help="Print the JSON schema of a study file.",
)
app.command(
    "llem_cli._commands.reference:config",
    name="config",
    help="Print this machine's settings and their file.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit with its code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    # Python tells of semaphores that a run, killed by whomever, has not given back. It gives them
    # back itself then, and nobody has to act; its process takes over these options.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    # Closed by whoever started us (`>&-`): then there is nobody to write to, which is no error.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; errors become sentences on stderr."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in tokens
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(f"error: {error}".rstrip() + " (`--help` shows what there is)", USAGE)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has left, e.g. `| head`
        sys.stderr.close()
        return FAILED
    except Exception as error:  # noqa: BLE001  # the last line: a person gets a sentence
        if verbose:
            traceback.print_exc()
        return _fail(*_explain(error, verbose=verbose))
    return code if isinstance(code, int) else OK


def _explain(error: Exception, *, verbose: bool) -> tuple[str, int]:
    from llem_config import ConfigError, LlemError  # loaded already by whatever raised it

    if isinstance(error, ConfigError):
        # With the line quoted where a person looks; else as editors make a link of it.
        return error.pretty() if sys.stderr.isatty() else str(error), USAGE
    if isinstance(error, LlemError):
        return "\n".join(f"error: {line}" for line in str(error).splitlines()), FAILED
    hint = "" if verbose else "; run it again with --verbose for the traceback"
    return f"error in llem itself: {type(error).__name__}: {error}{hint}", FAILED


def _fail(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code
