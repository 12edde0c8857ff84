"""How long the rest of a study will take, estimated from the runs that are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from llem_config import ExecutionConfig
from llem_runner._plan.schedule import GapKind, PlannedRun, gap_between, gap_seconds, windows_s
from llem_runner._storage.manifest import ManifestEntry


class _Mean:
    def __init__(self) -> None:
        self._n, self._sum_s = 0, 0.0

    def add(self, seconds: float) -> None:
        self._n += 1
        self._sum_s += seconds

    @property
    def value_s(self) -> float | None:
        return self._sum_s / self._n if self._n else None


class RemainingTime:
    """Estimates the seconds that the runs and gaps to come will take.

    A run is expected to take the mean of its point's runs; if its point has none yet, of the runs
    of the same model, or else what runs of its model took in earlier studies, or else the mean of all
    runs. A gap is expected to take the mean of the gaps of its
    kind. A gap may last longer than its seconds: until a GPU is cool, or until a child process has
    finished its imports.
    """

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        execution: ExecutionConfig,
        entries: Iterable[ManifestEntry] = (),
        usual_run_s: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare an estimate.

        Args:
            runs: the runs to come, in their order.
            execution: of their study.
            entries: of earlier runs, e.g. of a study that is resumed.
            usual_run_s: seconds of a run of a point by earlier studies; None: nothing is known of any.
        """
        cycles = [None, *(run.cycle for run in runs)]
        kinds = [gap_between(a, run.cycle, execution) for a, run in zip(cycles, runs, strict=False)]
        self._execution = execution
        self._n_gaps = Counter(kinds)
        self._n_runs = Counter(run.config_hash for run in runs)
        self._points: dict[str, _Mean] = {}
        self._model_of = {run.config_hash: run.config.model for run in runs}
        self._models: dict[str, _Mean] = {}
        self._windows_s = {run.config_hash: windows_s(run.config) for run in runs}
        self._usual_s = usual_run_s or {}
        self._all = _Mean()
        self._gaps_seen: dict[GapKind, _Mean] = {}
        self.n_left = len(runs)
        for entry in entries:
            if entry.status == "completed" and entry.started_at and entry.ended_at:
                seconds = entry.run_s
                if seconds is None:  # a file of format 1 or 2, which has only dates
                    start, end = map(datetime.fromisoformat, (entry.started_at, entry.ended_at))
                    seconds = max(0.0, (end - start).total_seconds())
                self._add(entry.config_hash, seconds)

    def learn_gap(self, kind: GapKind | None, seconds: float) -> None:
        """Add how long a gap has really taken."""
        if kind is not None:
            self._gaps_seen.setdefault(kind, _Mean()).add(seconds)

    def begin(self, kind: GapKind | None) -> None:
        """Count the gap before the next run as done."""
        if self._n_gaps[kind]:
            self._n_gaps[kind] -= 1

    def done(self, run: PlannedRun, seconds: float) -> None:
        """Count a run as done, which took `seconds`."""
        self._n_runs[run.config_hash] -= 1
        if not self._n_runs[run.config_hash]:
            del self._n_runs[run.config_hash]
        self.n_left -= 1
        self._add(run.config_hash, seconds)

    def run_s(self, config_hash: str) -> float | None:
        """Return the seconds of a run of a point; None if nothing is known yet."""
        model = self._model_of.get(config_hash, "")
        known = self._points.get(config_hash) or self._models.get(model)
        if known is not None:
            return known.value_s
        return self._usual_s.get(config_hash, self._all.value_s)

    @property
    def gaps_s(self) -> float:
        """Return the seconds of all gaps to come."""
        return sum(n * self._gap_s(kind) for kind, n in self._n_gaps.items() if kind and n)

    @property
    def least_s(self) -> float:
        """Return the seconds of everything that is known: of runs of which nothing is, the windows."""
        return self.gaps_s + sum(
            n * (self._windows_s[h] if (run_s := self.run_s(h)) is None else run_s)
            for h, n in self._n_runs.items()
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the models of whose loading and warm-up nothing is known, in order of their runs."""
        unknown = (self._model_of[h] for h in self._n_runs if self.run_s(h) is None)
        return tuple(dict.fromkeys(unknown))

    def left_s(self) -> float | None:
        """Return the seconds of everything to come; None if that of a run is not known yet."""
        if self.unknown:
            return None
        return self.gaps_s + sum(n * (self.run_s(h) or 0.0) for h, n in self._n_runs.items())

    def _gap_s(self, kind: GapKind) -> float:
        gaps = self._gaps_seen.get(kind)
        mean_s = gaps.value_s if gaps else None
        return gap_seconds(kind, self._execution) if mean_s is None else mean_s

    def _add(self, config_hash: str, seconds: float) -> None:
        self._points.setdefault(config_hash, _Mean()).add(seconds)
        model = self._model_of.get(config_hash)
        if model is not None:
            self._models.setdefault(model, _Mean()).add(seconds)
        self._all.add(seconds)
