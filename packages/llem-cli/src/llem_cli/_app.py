"""The program: its commands by name, and how errors are reported.

Commands are registered by import string, so that `--help` imports none of them. Nothing here
imports the runner, which would take another second.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from llem_cli._display.error_text import write_error
from llem_cli._display.faults import fault, faults_of
from llem_cli._display.streams import (
    OutputError,
    claim_stdout,
    color_system,
    discard_results,
    results,
    terminal_width,
)
from llem_cli._study_commands import study

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_OF_PATHS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
"""Errors of a path that a person named, or of one below it; `Path.exists` raises them too."""
WORSE, CANNOT_BE_TOLD = 3, 4  # `study compare`

app = App(
    name="llem-cli",
    help="Measure the energy of LLM inference, across sweeps of models, settings and backends.",
    help_epilogue="Begin with `llem-cli doctor`, which shows what this machine can measure, then "
    "`llem-cli study init MODEL`, which writes a study file.",
    version_flags=["--version"],
    default_parameter=Parameter(show_default=False),  # the help texts name the defaults
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` reports the interruption
)
experiment = App(name="experiment", help="Measure a single experiment.")
config = App(
    name="config",
    help="Print this machine's settings and the file they come from, or change one.",
)
app.command(study)
app.command(experiment)
app.command(config)
experiment.command(
    "llem_cli._commands.experiment:run",
    name="run",
    help="Measure one experiment, from a file or --model, and print its result.",
)
app.command(
    "llem_cli._commands.meter.command:meter",
    name="meter",
    help="Measure the energy of any command: meter -- COMMAND ARGS.\n\n"
    "Its input, output, signals and exit code are passed on; the energy is printed to stderr after it. "
    "Also of a process that runs (--pid), or of some seconds (--for). Exits with code 127 if the "
    "command is not found, 126 if it cannot be executed, 128 + N if signal N ended it.",
)
app.command(
    "llem_cli._commands.doctor:doctor",
    name="doctor",
    help="Show what this machine can measure, and how accurately.\n\n"
    "Lists every problem with the command that solves it. With --check-gpu it first loads a GPU to check its "
    "energy counter, and keeps the outcome. Exits with code 1 if no energy source can be read, or a check "
    "fails.",
)
app.command(
    "llem_cli._commands.calibrate:calibrate",
    name="calibrate",
    help="Calibrate the sensor of a GPU with the log of an external power meter.\n\n"
    "Joins the log with studies that ran meanwhile, and fits gain and offset. Later results state the "
    "gain, and a corrected energy beside the measured one. Exits with code 1 if the gain cannot be "
    "told, and with 2 if a flag is wrong.",
)
app.command(
    "llem_cli._commands.reference:schema",
    name="schema",
    help="Print the JSON Schema of study files, or the columns of exported tables.",
)
config.command(
    "llem_cli._commands.reference:set_",
    name="set",
    help="Change one setting in the settings file, e.g. `config set execution.config_gap_seconds 30`.\n\n"
    "Comments and other settings of the file stay. `null` removes a value.",
)
app.command(
    "llem_cli._commands.reference:completion",
    name="completion",
    help="Print the completion script for a shell: bash, zsh or fish.",
)


@config.default
def _show_config(
    *,
    json_: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print JSON instead of text.")
    ] = False,
) -> int:
    # By name and only if it is used, as the commands above; a default cannot be an import string.
    reference = importlib.import_module("llem_cli._commands.reference")
    code: int = reference.config(json_=json_)
    return code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit with its code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    # A closed stream (`>&-`) means that no output is wanted, which is not an error.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    stream = claim_stdout()
    app.console = Console(  # prints the help
        file=stream, width=terminal_width(stream), color_system=color_system()
    )
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; errors become sentences on stderr."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    is_split = tokens[:1] == ["meter"] and "--" in tokens
    own = tokens[: tokens.index("--")] if is_split else tokens  # not of a measured command
    verbose, as_json = "--verbose" in own, "--json" in own
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
        results().flush()  # while a closed pipe can still be reported
    except CycloptsError as error:
        from llem_cli._display.usage_hints import hint, problem_of

        advice = hint(error, own, tokens, tuple(study))
        return _usage(problem_of(error) + advice, as_json=as_json)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has exited, e.g. `| head`
        discard_results()
        return FAILED
    except OutputError as error:
        discard_results()
        return _fail(f"error: stdout cannot be written: {error.strerror}", FAILED)
    except Exception as error:  # noqa: BLE001  # the outermost handler: users get a sentence
        if verbose:
            write_error(traceback.format_exc())
        message, code = _explain(error, verbose=verbose)
        n_more = getattr(error, "n_more", 0)
        return _fail(message, code, as_json=as_json, faults=faults_of(error), n_more=n_more)
    return code if isinstance(code, int) else OK


def _usage(problem: str, *, as_json: bool) -> int:
    from llem_cli._display.console import message_lines

    lines = message_lines(problem.strip())
    return _fail(
        "\n".join(("error: " + lines[0], *lines[1:])) + " (see `--help`)", USAGE, as_json=as_json
    )


def _explain(error: Exception, *, verbose: bool) -> tuple[str, int]:
    """Return the message for an error, and the exit code."""
    from llem_cli._display.console import message_lines
    from llem_config import ConfigError, LlemError  # imported already by the command that failed

    if isinstance(error, ConfigError):
        # People get the line of the file quoted; programs get `file:line:column: key: problem`.
        return error.pretty() if sys.stderr.isatty() else str(error), USAGE
    if isinstance(error, LlemError):
        text = "\n".join(f"error: {line}" for line in str(error).splitlines())
        return text, getattr(error, "exit_code", FAILED)
    if isinstance(error, FileNotFoundError) and _is_working_directory_gone():
        return "error: the working directory was deleted; change to another one", FAILED
    if isinstance(error, OSError) and error.errno in _OF_PATHS and error.filename:
        problem = f"{error.filename}: {error.strerror}; correct the path or its permissions"
        return "\n".join(message_lines(f"error: {problem}")), FAILED
    hint = "" if verbose else "; run it again with --verbose for the traceback"
    lines = message_lines(f"error in llem itself: {type(error).__name__}: {error}")
    return "\n".join(lines) + hint, FAILED


def _is_working_directory_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _fail(
    message: str,
    code: int,
    *,
    as_json: bool = False,
    faults: Sequence[dict[str, Any]] = (),
    n_more: int = 0,
) -> int:
    """Print why the program fails to stderr, and as JSON to stdout if requested."""
    if as_json:
        described = {
            "faults": list(faults) or [fault(message.removeprefix("error: "))],
            "n_more": n_more,
        }
        from llem_cli._display.console import show_json

        with contextlib.suppress(OSError):  # stdout is closed
            show_json(json.dumps(described, indent=2, ensure_ascii=False))
            results().flush()
    write_error(message)
    return code
