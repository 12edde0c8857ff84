"""The energy of a training with PyTorch Lightning.

    from llem_energy.integrations.lightning import EnergyCallback
    trainer = Trainer(..., callbacks=[EnergyCallback()])
    trainer.fit(model, data)                          # logs energy_step_j and others

It needs `llem-energy[lightning]`.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from llem_energy._meter.energy_meter import EnergyMeter
from llem_energy._meter.energy_window import EnergyWindow
from llem_energy._meter.training_windows import TrainingWindows

__all__ = ["EnergyCallback"]


class EnergyCallback(Callback):
    """Logs the energy of a training.

    At every step that Lightning logs (`log_every_n_steps`): `energy_step_j` (J per optimiser step since
    the last one), its maximum error `energy_step_bound_j`, and `power_mean_w`. At the end of an epoch:
    `energy_epoch_j` and its bound. After the training, `train.energy` has the energy of the whole. What
    is missing is not logged; `train.energy.reasons` says why. Only the first process meters, all GPUs
    that it sees; those of other nodes are not in it.
    """

    def __init__(self, meter: EnergyMeter | None = None) -> None:
        """Prepare.

        Args:
            meter: stays open; None opens one for each training.
        """
        self._windows = TrainingWindows(meter)
        self._is_active = False
        self._n_steps = 0

    @property
    def train(self) -> EnergyWindow | None:
        """The window of the newest training."""
        return self._windows.train

    @property
    def epochs(self) -> list[EnergyWindow]:
        """The windows of its epochs."""
        return self._windows.epochs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the windows of the training."""
        self._is_active = trainer.is_global_zero
        self._n_steps = trainer.global_step
        if self._is_active:
            self._windows.begin()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the window of an epoch."""
        if self._is_active:
            self._windows.begin_epoch()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the steps, and log their energy when Lightning logs."""
        if not self._is_active:
            return
        for _ in range(trainer.global_step - self._n_steps):  # 0 while gradients accumulate
            self._windows.step()
        is_step = trainer.global_step > self._n_steps
        self._n_steps = trainer.global_step
        period: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
        if is_step and period and trainer.global_step % period == 0:
            values = self._windows.end_interval()
            pl_module.log_dict(values, on_step=True, on_epoch=False, rank_zero_only=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the window of an epoch, and log its energy."""
        if self._is_active:
            pl_module.log_dict(
                self._windows.end_epoch(), on_step=False, on_epoch=True, rank_zero_only=True
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the window of the training."""
        self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close what is open; the training ended with an error."""
        self._end()

    def _end(self) -> None:
        if self._is_active:
            self._windows.end()
            self._is_active = False
