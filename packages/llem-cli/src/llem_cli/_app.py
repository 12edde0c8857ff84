"""The program: its commands by name, and how errors are reported.

Commands are registered by import string, so that `--help` imports none of them. Nothing here
imports the runner, which would take another second.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="llem-cli",
    help="Measure the energy of LLM inference, across sweeps of models, settings and backends.",
    version_flags=["--version"],
    default_parameter=Parameter(show_default=False),  # the help texts name the defaults
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` reports the interruption
)
study = App(
    name="study",
    help="Run a study and look at its results: many experiments, repeated, from one file.",
)
experiment = App(name="experiment", help="Measure a single experiment.")
app.command(study)
app.command(experiment)
study.command(
    "llem_cli._commands.study.run:run",
    name="run",
    help="Run every experiment of a study file.\n\n"
    "Results are saved as they arrive, in a new folder. Ctrl-C stops the study; continue it with "
    "the command `study resume`. Exits with code 0 if all runs completed, 1 if a run failed, 2 if the study "
    "file or a flag is wrong, and 130 if the study was interrupted.",
)
study.command(
    "llem_cli._commands.study.resume:resume",
    name="resume",
    help="Continue a study that stopped early, or add cycles to it.\n\n"
    "Runs everything that is not completed: pending, interrupted and failed runs.",
)
study.command(
    "llem_cli._commands.study.show:show",
    name="show",
    help="Show the result of a study, or its progress while it runs.",
)
study.command(
    "llem_cli._commands.study.plan:plan",
    name="plan",
    help="List every run of a study in execution order; measure nothing.",
)
study.command(
    "llem_cli._commands.study.plan:validate",
    name="validate",
    help="Check a study file and count its points; measure nothing.",
)
experiment.command(
    "llem_cli._commands.experiment:run",
    name="run",
    help="Measure one experiment and print its result.",
)
app.command(
    "llem_cli._commands.doctor:doctor",
    name="doctor",
    help="Show what this machine can measure, and how accurately.\n\n"
    "Lists every problem with the command that solves it. Exits with code 1 if no energy source "
    "can be read.",
)
app.command(
    "llem_cli._commands.reference:schema",
    name="schema",
    help="Print the JSON Schema of study files.",
)
app.command(
    "llem_cli._commands.reference:config",
    name="config",
    help="Print this machine's settings and the file they come from.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit with its code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    # When a run was killed, Python warns about the semaphores it leaked, then frees them itself:
    # the user need not act. The resource tracker's process inherits this option.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    # A closed stream (`>&-`) means that no output is wanted, which is not an error.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; errors become sentences on stderr."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    verbose, as_json = "--verbose" in tokens, "--json" in tokens
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
    except UnusedCliTokensError as error:
        unused = " ".join(error.unused_tokens or ())
        return _fail(f"error: unexpected argument: {unused} (see `--help`)", USAGE, as_json=as_json)
    except CycloptsError as error:
        return _fail(f"error: {error}".rstrip() + " (see `--help`)", USAGE, as_json=as_json)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has exited, e.g. `| head`
        sys.stderr.close()
        return FAILED
    except Exception as error:  # noqa: BLE001  # the outermost handler: users get a sentence
        if verbose:
            traceback.print_exc()
        message, code = _explain(error, verbose=verbose)
        return _fail(message, code, as_json=as_json, faults=_faults_of(error))
    return code if isinstance(code, int) else OK


def _explain(error: Exception, *, verbose: bool) -> tuple[str, int]:
    """Return the message for an error, and the exit code."""
    from llem_config import ConfigError, LlemError  # imported already by the command that failed

    if isinstance(error, ConfigError):
        # People get the line of the file quoted; programs get `file:line:column: key: problem`.
        return error.pretty() if sys.stderr.isatty() else str(error), USAGE
    if isinstance(error, LlemError):
        return "\n".join(f"error: {line}" for line in str(error).splitlines()), FAILED
    hint = "" if verbose else "; run it again with --verbose for the traceback"
    return f"error in llem itself: {type(error).__name__}: {error}{hint}", FAILED


def _faults_of(error: Exception) -> list[dict[str, Any]]:
    """Return the mistakes of a file, one each, or the sentences of an error of ours."""
    from llem_config import ConfigError, LlemError

    if isinstance(error, ConfigError):
        return [
            _fault(fault.problem, str(fault.file), fault.line, fault.column, fault.key)
            for fault in error.faults
        ]
    if isinstance(error, LlemError):
        return [_fault(line) for line in str(error).splitlines()]
    return []


def _fault(
    problem: str, file: str = "", line: int = 0, column: int = 0, key: str = ""
) -> dict[str, Any]:
    return {
        "file": file or None,
        "line": line or None,
        "column": column or None,
        "key": key or None,
        "problem": problem,
    }


def _fail(
    message: str, code: int, *, as_json: bool = False, faults: Sequence[dict[str, Any]] = ()
) -> int:
    """Print why the program fails to stderr, and as JSON to stdout if requested."""
    if as_json:
        described = {"faults": list(faults) or [_fault(message.removeprefix("error: "))]}
        with contextlib.suppress(OSError):  # stdout is closed
            sys.stdout.write(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    # Not wrapped by us: a message may quote a line of a file, with a mark below a column.
    with contextlib.suppress(OSError):  # stderr is closed
        sys.stderr.write(message + "\n")
    return code
