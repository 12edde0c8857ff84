"""A study that is divided into shards, and what a cluster is given."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from llem_cli._display.console import count, duration, note, print_text, say, show_json
from llem_runner.clusters import Submission, SubmittedStudy
from llem_runner.records import encode_json
from llem_runner.shards import Division, precision_kept


def show_division(division: Division) -> None:
    """Print to stderr how a study is divided, how long a shard takes, and what that costs."""
    n_points, n_cycles = len(division.study.experiments), division.study.execution.n_cycles
    per_cycle = sum(shard.cycle == 1 for shard in division.shards)
    sizes = sorted({len(shard.runs) for shard in division.shards})
    runs = f"{sizes[0]} to {sizes[-1]} runs" if len(sizes) > 1 else count(sizes[0], "run")
    seconds = division.seconds_per_shard
    expected = "" if seconds is None else f", about {duration(seconds)}"
    note(
        f"{count(len(division.runs), 'run')} in {count(len(division.shards), 'shard')}, each a part "
        f"of one cycle: {runs}{expected}"
        if per_cycle > 1
        else f"{count(len(division.runs), 'run')} in {count(len(division.shards), 'shard')}, one for "
        f"each cycle: {runs}{expected}"
    )
    loss = 1 - precision_kept(n_points, n_cycles, per_cycle)
    if per_cycle > 1:
        note(f"loss of precision of the comparison, because cycles are divided: {loss:.1%}")


def show_preview(made: Submission, *, as_json: bool) -> None:
    """Print the files and commands of a submission."""
    if as_json:
        show_json(encode_json(made))
        return
    for path, content in made.files.items():
        say(f"# {path}")
        print_text(content)
    for command in made.commands:
        say(f"# {shlex.join(command)}")
    for line in made.notes:
        note(f"note: {line}")


def show_submitted(done: SubmittedStudy, cluster: str, *, as_json: bool) -> None:
    """Print what a cluster has accepted, and how to continue."""
    if as_json:
        show_json(encode_json(done))
        return
    folder = shlex.quote(done.folder)
    if not done.submitted:
        what = "no run is left"
        if done.waiting:
            what = "every shard with runs left waits or runs already"
        say(f"{done.folder}: nothing to submit, because {what}")
        return
    jobs = ", ".join(ticket.job for ticket in done.tickets)
    say(
        f"{done.folder}: {_shards(done.submitted, done.n_shards)} submitted to {cluster}, job {jobs}"
    )
    if done.waiting:
        say(f"{count(len(done.waiting), 'shard')} waiting or running already")
    if done.left:
        say(
            f"{count(len(done.left), 'shard')} not taken, because {cluster} limits the number of "
            f"jobs; later: llem-cli study resume {folder} --on {cluster}"
        )
    say(f"follow with: llem-cli study show {folder}")


def _shards(numbers: Sequence[int], n_shards: int) -> str:
    if len(numbers) == n_shards:
        return count(n_shards, "shard")
    return f"{len(numbers)} of {count(n_shards, 'shard')}"
