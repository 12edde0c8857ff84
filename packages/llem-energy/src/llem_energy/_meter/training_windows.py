"""The windows of a training: the whole, its epochs, and the steps between two logs."""

from __future__ import annotations

from llem_energy._meter.energy_meter import EnergyMeter
from llem_energy._meter.energy_window import EnergyWindow


class TrainingWindows:
    """Opens and closes the windows; what is missing has no entry in the values that it returns.

    To read the energy of a window waits until the counters show its end, half a second at most. That
    wait is between two intervals and in none of them.
    """

    def __init__(self, meter: EnergyMeter | None) -> None:
        """Prepare.

        Args:
            meter: of the user, which stays open; None opens one for each training.
        """
        self._given = meter
        self._meter: EnergyMeter | None = None
        self._interval: EnergyWindow | None = None
        self._epoch: EnergyWindow | None = None
        self._n_steps = 0
        self.train: EnergyWindow | None = None
        """The newest training."""
        self.epochs: list[EnergyWindow] = []
        """The closed epochs of the newest training."""

    def begin(self) -> None:
        """Begin a training."""
        self._meter = self._given or EnergyMeter(mode="light")
        self.epochs = []
        self.train = self._opened("train")
        self._begin_interval()

    def step(self) -> None:
        """Count a step, and tell it to every open window."""
        self._n_steps += 1
        for window in (self.train, self._epoch, self._interval):
            if window is not None and window.is_open:
                window.step()

    def end_interval(self) -> dict[str, float]:
        """Return the energy of a step since the last call, and begin the next interval."""
        window, n_steps = self._interval, self._n_steps
        if window is None or n_steps == 0:
            return {}
        energy = window.close().energy
        values: dict[str, float] = {}
        if energy.total_j is not None and window.duration_s:
            values["energy_step_j"] = energy.total_j / n_steps
            values["power_mean_w"] = energy.total_j / window.duration_s
        if energy.bound_j is not None:
            values["energy_step_bound_j"] = energy.bound_j / n_steps
        self._begin_interval()
        return values

    def begin_epoch(self) -> None:
        """Begin an epoch."""
        if self._meter is not None:
            self._epoch = self._opened("epoch")

    def end_epoch(self) -> dict[str, float]:
        """Return the energy of the epoch that ends."""
        window, self._epoch = self._epoch, None
        if window is None:
            return {}
        self.epochs.append(window.close())
        return _values(window, "energy_epoch_j", "energy_epoch_bound_j")

    def end(self) -> dict[str, float]:
        """Return the energy of the whole training, and close the meter if it is ours."""
        if self._meter is None or self.train is None:
            return {}
        values = _values(self.train.close(), "energy_train_j", "energy_train_bound_j")
        if self._given is None:
            self._meter.close()
        self._meter = self._interval = None
        return values

    def _begin_interval(self) -> None:
        self._n_steps = 0
        self._interval = self._opened("steps")

    def _opened(self, name: str) -> EnergyWindow:
        assert self._meter is not None
        # The GPU is busy at both ends, so that there is no idle time to wait for.
        return self._meter.window(name, mode="light").open()


def _values(window: EnergyWindow, total: str, bound: str) -> dict[str, float]:
    energy = window.energy
    figures = {total: energy.total_j, bound: energy.bound_j}
    return {key: value for key, value in figures.items() if value is not None}
