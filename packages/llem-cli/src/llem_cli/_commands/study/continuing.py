"""How `study resume` and `study extend` make the runs that are left: here, on GPUs, or on a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Retry, TimeLimit, Wait, parse_duration_s
from llem_cli._commands.study.cluster_flags import ClusterFlags, On, check_of_cluster
from llem_cli._commands.study.folder import usage_error
from llem_cli._commands.study.on_gpus import Gpus, parse_gpus, resume_measured_on_gpus
from llem_cli._commands.study.resubmission import resubmit
from llem_cli._commands.study.run import finish
from llem_cli._display.console import count, note, show_json
from llem_cli._display.progress import Progress
from llem_cli._signals import controlled_by_terminal
from llem_energy import measure as default_measure
from llem_runner import StudyError, StudyResult
from llem_runner.clusters import Cluster
from llem_runner.executors import Measure
from llem_runner.parallel import check_gpus
from llem_runner.records import encode_json
from llem_runner.shards import Addition, is_divided, resume_shards


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Continuing(ClusterFlags):
    """How the runs that are left are made."""

    of_runs: ClassVar[frozenset[str]] = frozenset(
        ("retry", "time_limit", "wait", "gpus", "even_if_running", "retry_failed")
    )

    retry: Retry = 0
    time_limit: TimeLimit = None
    wait: Wait = False
    gpus: Gpus = None
    on: On = None
    even_if_running: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Of a divided study: run or submit shards also if it cannot be told whether they run.",
        ),
    ] = False
    retry_failed: Annotated[
        bool, Parameter(negative=(), help="Of a divided study: also repeat runs that have failed.")
    ] = False
    dry_run: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Print what `study extend` would measure or, with --on, what would be submitted; write "
            "and submit nothing.",
        ),
    ] = False

    def cluster_of(self, folder: Path, *, can_plan: bool = False) -> Cluster | None:
        """Return the cluster that gets the shards of a study; None if they run here.

        All flags are checked here, before cycles or points are added to the study.

        Args:
            folder: of the study.
            can_plan: whether --dry-run has a meaning also for runs on this machine.

        Raises:
            StudyError: no installed package provides it, or a GPU is not there.
            ConfigError: a flag is wrong, or the flags do not go together or not with the study.
        """
        parse_duration_s(self.time_limit)
        if self.on is None:
            if can_plan or is_divided(folder):
                self.check_unused(allowed=("dry_run",) if can_plan else ())
            else:
                self.check_unused(
                    instead="expected a study that was divided by `study submit`, found one whose runs "
                    "are made here; leave out this flag"
                )
            if self.gpus is not None and not is_divided(folder):
                raise usage_error(
                    "--gpus", "expected a study that began with --gpus or was submitted"
                )
            if self.gpus is not None:
                check_gpus(parse_gpus(self.gpus, wait=self.wait))
            return None
        if not is_divided(folder):
            raise usage_error(
                "--on",
                f"{folder}: expected a study that was divided by `study submit`, found one that was not; "
                "leave out --on to run here",
            )
        check_of_cluster(
            {"--gpus": self.gpus, "--time-limit": self.time_limit, "--wait": self.wait}
        )
        cluster = self.cluster(self.on)
        if cluster is None:
            raise usage_error("--on", "expected a cluster, found none; leave out --on to run here")
        _ = cluster.time_limit_s  # reads the options of the cluster, and refuses wrong ones
        return cluster


HERE = Continuing()
MEASURED_NOTHING = "nothing was measured or written; leave out --dry-run to measure"


def continue_study(
    folder: Path,
    how: Continuing,
    cluster: Cluster | None,
    *,
    run: Callable[..., StudyResult],
    add: Callable[..., Addition] | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    measure: Measure | None,
) -> int:
    """Run or submit what is left of a study, and return the exit code.

    Args:
        folder: of the study.
        how: by the user.
        cluster: that gets the shards of a divided study; None: they run here.
        run: `resume_study` or `extend_study`, with the arguments that only one of them has; for a study
            that is not divided.
        add: `add_cycles` or `add_points`, with the arguments that only one of them has; for a divided
            study. None: it gets no further shards.
        as_json: whether to print JSON.
        quiet: whether to show no progress.
        verbose: whether to show every stage.
        measure: what each run calls; None: the usual measurement.
    """
    if not is_divided(folder):
        return _continue_here(
            run, folder, how, as_json=as_json, quiet=quiet, verbose=verbose, measure=measure
        )
    added = None
    if add is not None:
        added = add(
            folder,
            cluster=cluster,
            even_if_running=how.even_if_running,
            write=not how.dry_run,
        )
    return _continue_shards(
        folder,
        how,
        cluster,
        added,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
        measure=measure,
    )


def _continue_here(
    run: Callable[..., StudyResult],
    folder: Path,
    how: Continuing,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    measure: Measure | None,
) -> int:
    """Run what is left of a study that is not divided, and return the exit code."""
    time_limit_s = parse_duration_s(how.time_limit)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
        result = run(
            folder,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=how.retry,
            time_limit_s=time_limit_s,
            wait=how.wait,
        )
    return finish(result, folder, as_json=as_json)


def _continue_shards(
    folder: Path,
    how: Continuing,
    cluster: Cluster | None,
    added: Addition | None,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    measure: Measure | None,
) -> int:
    """Run or submit what is left of a divided study, and return the exit code.

    `added` are the shards that the study has just got; None: none.
    """
    if added is not None:
        _show_added(added, is_written=not how.dry_run)
    if cluster is not None and how.on is not None:
        try:
            return resubmit(
                folder,
                cluster,
                how.on,
                added=added,
                retry=how.retry,
                even_if_running=how.even_if_running,
                retry_failed=how.retry_failed,
                dry_run=how.dry_run,
                as_json=as_json,
            )
        except StudyError as error:
            if added is None or not added.numbers or how.dry_run:
                raise
            again = shlex.join(["llem-cli", "study", "resume", str(folder), "--on", how.on])
            raise StudyError(
                f"{error}\nthe added shards are kept; submit them with `{again}`"
            ) from error
    if how.dry_run:
        note(MEASURED_NOTHING)
        if as_json:
            show_json(encode_json(added))
        return OK
    time_limit_s = parse_duration_s(how.time_limit)
    if how.gpus is not None:
        result = resume_measured_on_gpus(
            folder,
            parse_gpus(how.gpus, wait=how.wait),
            even_if_running=how.even_if_running,
            retry_failed=how.retry_failed,
            measure=measure or default_measure,
            retry=how.retry,
            time_limit_s=time_limit_s,
            quiet=quiet,
        )
        return finish(result, folder, as_json=as_json, gpus=how.gpus)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
        resumed = resume_shards(
            folder,
            even_if_running=how.even_if_running,
            retry_failed=how.retry_failed,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=how.retry,
            time_limit_s=time_limit_s,
            wait=how.wait,
        )
    return finish(resumed.result, folder, as_json=as_json)


def _show_added(added: Addition, *, is_written: bool) -> None:
    for warning in added.warnings:
        note(f"warning: {warning}")
    for line in added.notes:
        note(line)
    if not added.numbers:
        return
    cycles = [shard.cycle for shard in added.plan.shards if shard.number in added.numbers]
    note(
        f"{count(len(added.numbers), 'shard')} {'added' if is_written else 'would be added'}: numbers "
        f"{added.numbers[0]} to {added.numbers[-1]}, cycles {cycles[0]} to {cycles[-1]}"
    )
