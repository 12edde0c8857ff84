"""The callback for PyTorch Lightning, in a real training on the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from energy.integrations.conftest import run_script, true_j

# Not imported here, because it takes seconds and loads torch.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None,
    reason="the group `integrations` is not installed",
)
TRAINING = """
import json, time, warnings
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger
from llem_energy.integrations.lightning import EnergyCallback

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        time.sleep(0.1)
        if FAILS and index == 3:
            raise RuntimeError("a bad batch")
        return self.layer(batch).mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

class Rows(Logger):
    name, version, rows = "rows", 0, []
    def log_hyperparams(self, *args, **kwargs): pass
    def log_metrics(self, metrics, step): self.rows.append({**metrics, "step": step})

logger, callback = Rows(), EnergyCallback()
trainer = Trainer(
    max_epochs=2, logger=logger, callbacks=[callback], log_every_n_steps=3, accelerator="cpu",
    enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    accumulate_grad_batches=1,
)
error = None
try:
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.randn(12, 4), batch_size=2))
except RuntimeError as caught:
    error = str(caught)
train = callback.train
print()
print(json.dumps({
    "rows": logger.rows, "error": error, "reasons": train.energy.reasons,
    "windows": [
        {"start_s": w.start_s, "end_s": w.end_s, "energy_j": w.energy.total_j,
         "bound_j": w.energy.bound_j}
        for w in [train, *callback.epochs]
    ],
}))
"""


def test_lightning_logs_the_energy_of_steps_and_epochs(
    tmp_path: Path, gpu_env: dict[str, str]
) -> None:
    found = run_script(f"FAILS = False\n{TRAINING}", tmp_path, gpu_env)
    for window in found["windows"]:
        assert window["energy_j"] == pytest.approx(true_j(window, gpu_env), abs=window["bound_j"])
    _, first, second = found["windows"]
    steps = [row for row in found["rows"] if "energy_step_j" in row]
    assert [row["step"] for row in steps] == [2, 5, 8, 11]  # Lightning counts from 0
    for row in steps:
        bound = row["energy_step_bound_j"] / row["energy_step_j"]
        assert 200 * (1 - bound) <= row["power_mean_w"] <= 400 * (1 + bound)
    epochs = [row["energy_epoch_j"] for row in found["rows"] if "energy_epoch_j" in row]
    assert epochs == pytest.approx([first["energy_j"], second["energy_j"]], rel=1e-4)


def test_a_training_that_fails_closes_its_windows(tmp_path: Path, gpu_env: dict[str, str]) -> None:
    found = run_script(f"FAILS = True\n{TRAINING}", tmp_path, gpu_env)
    assert found["error"] == "a bad batch"
    (train,) = found["windows"]
    assert train["energy_j"] == pytest.approx(true_j(train, gpu_env), abs=train["bound_j"])


def test_without_a_meter_lightning_trains_and_logs_no_energy(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    found = run_script(f"FAILS = False\n{TRAINING}", tmp_path, without_gpu)
    assert not any("energy" in key for row in found["rows"] for key in row)
    assert any("NVIDIA driver" in reason for reason in found["reasons"])
