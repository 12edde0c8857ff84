"""The energy of a training with the `Trainer` of transformers.

    from llem_energy.integrations.transformers import EnergyCallback
    trainer = Trainer(..., callbacks=[EnergyCallback()])
    trainer.train()                                   # its logs have energy_step_j and others

Services that `report_to` names are called before the callbacks of the user. So that they get the energy
too, put the callback before them: `EnergyCallback().put_first(trainer)`.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from llem_energy._meter.energy_meter import EnergyMeter
from llem_energy._meter.energy_window import EnergyWindow
from llem_energy._meter.training_windows import TrainingWindows

__all__ = ["EnergyCallback"]


class EnergyCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not analysed
    """Adds the energy to every log of a training.

    `energy_step_j` (J per optimiser step since the last log), its maximum error
    `energy_step_bound_j`, and `power_mean_w`; `energy_epoch_j` in the first log after an epoch;
    `energy_train_j` in the last one. What is missing has no entry; `train.energy.reasons` says why.
    Only the first process meters, all GPUs that it sees; those of other nodes are not in it.
    """

    def __init__(self, meter: EnergyMeter | None = None) -> None:
        """Prepare.

        Args:
            meter: stays open; None opens one for each training.
        """
        self._windows = TrainingWindows(meter)
        self._of_epoch: dict[str, float] = {}
        self._is_active = False

    @property
    def train(self) -> EnergyWindow | None:
        """The window of the newest training."""
        return self._windows.train

    @property
    def epochs(self) -> list[EnergyWindow]:
        """The windows of its epochs."""
        return self._windows.epochs

    def put_first(self, trainer: Any) -> EnergyCallback:
        """Add this callback to a trainer before all others, and return it."""
        callbacks = trainer.callback_handler.callbacks
        if self in callbacks:
            callbacks.remove(self)
        callbacks.insert(0, self)
        return self

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the windows of the training."""
        self._is_active = bool(state.is_world_process_zero)
        self._of_epoch = {}
        if self._is_active:
            self._windows.begin()

    def on_epoch_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the window of an epoch."""
        if self._is_active:
            self._windows.begin_epoch()

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count an optimiser step."""
        self._windows.step()

    def on_epoch_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the window of an epoch; the next log has its energy."""
        if self._is_active:
            self._of_epoch = self._windows.end_epoch()

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the energy to a log, and to its copy in `state.log_history`."""
        if not self._is_active or logs is None:
            return
        values = self._windows.end_interval() | self._of_epoch
        self._of_epoch = {}
        if "train_runtime" in logs:  # the last log of a training
            values |= self._windows.end()
            self._is_active = False
        logs |= values
        if state.log_history:
            state.log_history[-1] |= values

    def on_train_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close what is still open."""
        if self._is_active:
            self._windows.end()
            self._is_active = False
