"""`llem-cli study init`: a commented study file for a model and this machine."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Tracebacks
from llem_cli._commands.study.folder import usage_error
from llem_cli._commands.study.starter import Starter, choose
from llem_cli._display.console import say
from llem_config import load_settings
from llem_config.overrides import in_flow
from llem_config.text import one_line
from llem_energy.preflight import find_machine

_WIDTH = 100
_COMMENT_AT = 40  # column of a comment after a value

ModelName = Annotated[
    str, Parameter(help="A local folder, `builtin:NAME`, or the id of a model on the hub.")
]


def init(
    model: ModelName,
    /,
    *,
    output: Annotated[Path, Parameter(help="File to write (default: study.yaml).")] = Path(
        "study.yaml"
    ),
    force: Annotated[
        bool, Parameter(negative=(), help="Replace the file if there is one already.")
    ] = False,
    verbose: Tracebacks = False,
) -> int:
    """Write a commented study file that is expected to run on this machine."""
    del verbose  # read where errors are explained
    if output.exists() and not force:
        problem = (
            f"{output}: expected a new file, found one; name another, or replace it with --force"
        )
        raise usage_error("--output", problem)
    # Other load is that of this moment only.
    machine = msgspec.structs.replace(find_machine(load_settings()), load=None)
    starter = choose(model, machine)
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write("\n".join(_lines(starter, _as_written(model, output), output)) + "\n")
    except OSError as error:
        problem = f"{output}: cannot be written: {error.strerror}"
        raise usage_error("--output", problem) from error
    say(f"written: {output}")
    say(f"next: `llem-cli study plan {output}`, then `llem-cli study run {output}`")
    return OK


def _as_written(model: str, output: Path) -> str:
    """Return how the study file names a model: a relative folder counts from the file's folder."""
    if model.startswith(("builtin:", "~")) or Path(model).is_absolute() or not Path(model).is_dir():
        return model
    relative = Path(os.path.relpath(model, output.parent)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _lines(starter: Starter, model: str, output: Path) -> Iterator[str]:
    fields = starter.fields
    yield from _comment(
        "A first study, written by `llem-cli study init` for this machine. Change what you like; "
        "`llem-cli study fields WORD` explains a field."
    )
    yield f"#   llem-cli study run {one_line(str(output))}"
    for note in starter.notes:
        yield from _comment(f"Note: {note}")
    yield ""
    yield _line("model", in_flow(model), "a folder, builtin:NAME, or a hub id")
    if fields.get("weights"):
        yield _line("weights", "random", "the files have no weights; joules are not the model's")
    yield _line(
        "n", str(fields["n"]), "prompts in one pass; passes repeat until the window is over"
    )
    yield _line("max_input_tokens", str(fields["max_input_tokens"]), "tokens of a prompt")
    yield _line("max_output_tokens", str(fields["max_output_tokens"]), "tokens of an output")
    yield from _comment("Prompts are random tokens. For joules that you publish, use real ones:")
    yield "# dataset: {source: prompts.jsonl}      # beside this file, with a column `prompt`"
    for key, value in starter.proposal.fields.items():
        yield _line(key, in_flow(value), starter.proposal.comments.get(key, ""))
    if len(starter.precisions) == 1:
        yield _line("precision", starter.precisions[0], _why(starter))
    yield ""
    yield _line("sweep:", "", "all combinations are measured")
    if len(starter.precisions) > 1:
        yield _line("  precision", in_flow(starter.precisions), "")
    batch_axis, batch_sizes = starter.proposal.batch_axis, starter.batch_sizes
    yield _line(f"  {batch_axis}", in_flow(batch_sizes), "prompts at a time")
    if starter.memory is not None:
        yield from _comment(f"At batch size {batch_sizes[-1]}, {starter.memory}.", "  ")
    for key, values in starter.proposal.further_axes.items():
        yield f"  # {key}: {in_flow(values)}"
    yield ""
    yield "energy:"
    yield _line("  min_window_seconds", "10", "longer windows have smaller errors")
    yield ""
    yield "execution:"
    yield _line("  n_cycles", "5", "every point is measured 5 times")
    yield _line("  cycle_order", "shuffled", "each cycle in another order, against drift")
    yield _line("  config_gap_seconds", "30", "pause before a run, to cool down")
    yield _line("  cycle_gap_seconds", "60", "pause before a cycle")


def _why(starter: Starter) -> str:
    return (
        "computed in hardware here" if starter.proposal.on_gpu else "16 bits are slow on this CPU"
    )


def _line(key: str, value: str, comment: str) -> str:
    """Return a line of YAML with a comment behind it."""
    text = key if key.endswith(":") else f"{key}: {value}"
    return f"{text.ljust(_COMMENT_AT - 1)} # {comment}" if comment else text


def _comment(text: str, indent: str = "") -> list[str]:
    mark = f"{indent}# "
    return textwrap.wrap(
        one_line(text), _WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False
    )
