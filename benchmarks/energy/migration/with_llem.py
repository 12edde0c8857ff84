"""Three steps of work in windows of EnergyMeter."""

import time

from llem_energy import EnergyMeter

monitor = EnergyMeter([0], mode="light")
monitor.begin_window("epoch")
for step in range(3):
    monitor.begin_window("step")
    time.sleep(0.5)
    result = monitor.end_window("step")
    print(f"step {step}: {result.duration_s:.3f} s, {result.energy.total_j:.1f} J")
result = monitor.end_window("epoch")
print(f"epoch: {result.duration_s:.3f} s, {result.energy.total_j:.1f} J")
