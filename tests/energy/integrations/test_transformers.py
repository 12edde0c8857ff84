"""The callback for the `Trainer` of transformers, in a real training on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from energy.integrations.conftest import run_script, true_j

TRAINING = """
import json, time
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from llem_energy.integrations.transformers import EnergyCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x=None, labels=None):
        time.sleep(0.1)
        return {"loss": ((self.layer(x) - labels) ** 2).mean()}

rows = [{"x": torch.randn(4), "labels": torch.randn(1)} for _ in range(12)]
seen = []
class Reporter(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        seen.append(dict(logs))

callback = EnergyCallback()
arguments = TrainingArguments(
    "out", num_train_epochs=2, per_device_train_batch_size=2, logging_steps=3, report_to=[],
    save_strategy="no", use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
)
trainer = Trainer(Model(), arguments, train_dataset=rows, callbacks=[Reporter()])
callback.put_first(trainer)
trainer.train()
train = callback.train
print()
print(json.dumps({
    "history": trainer.state.log_history, "seen": seen, "reasons": train.energy.reasons,
    "windows": [
        {"start_s": w.start_s, "end_s": w.end_s, "energy_j": w.energy.total_j,
         "bound_j": w.energy.bound_j, "steps_s": w.repeated_s}
        for w in [train, *callback.epochs]
    ],
}))
"""


def test_every_log_of_a_training_has_the_energy_of_its_steps(
    tmp_path: Path, gpu_env: dict[str, str]
) -> None:
    found = run_script(TRAINING, tmp_path, gpu_env)
    for window in found["windows"]:
        assert window["energy_j"] == pytest.approx(true_j(window, gpu_env), abs=window["bound_j"])
        assert all(0.1 <= step_s < 1 for step_s in window["steps_s"]), "a step sleeps 0.1 s"
        assert len(window["steps_s"]) == 2
    train, first, second = found["windows"]
    *logs, last = found["history"]
    assert [log["step"] for log in logs] == [3, 6, 9, 12]
    for log in logs:
        bound = log["energy_step_bound_j"] / log["energy_step_j"]
        assert 200 * (1 - bound) <= log["power_mean_w"] <= 400 * (1 + bound)
    in_steps_j = sum(3 * log["energy_step_j"] for log in logs)
    bounds_j = sum(3 * log["energy_step_bound_j"] for log in logs)
    assert in_steps_j <= train["energy_j"] + bounds_j + train["bound_j"]
    # The time between the intervals has its energy too, but less than the steps.
    assert in_steps_j > 0.4 * train["energy_j"]
    assert last["energy_train_j"] == train["energy_j"]
    assert last["energy_train_bound_j"] == train["bound_j"]
    of_epochs = [log["energy_epoch_j"] for log in found["history"] if "energy_epoch_j" in log]
    assert of_epochs == [first["energy_j"], second["energy_j"]]
    # A callback that comes later, as those of services do after `put_first`, has the same values.
    for log, entry in zip(found["history"], found["seen"], strict=True):
        energies = {key: value for key, value in log.items() if "energy" in key}
        assert energies.items() <= entry.items()


def test_without_a_meter_the_training_runs_and_no_energy_is_logged(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    found = run_script(TRAINING, tmp_path, without_gpu)
    assert [log["step"] for log in found["history"]] == [3, 6, 9, 12, 12]
    assert not any("energy" in key for log in found["history"] for key in log)
    assert any("NVIDIA driver" in reason for reason in found["reasons"])
