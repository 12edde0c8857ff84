"""Three steps of work in windows of ZeusMonitor."""

import time

from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # not in our env

monitor = ZeusMonitor(gpu_indices=[0])
monitor.begin_window("epoch")
for step in range(3):
    monitor.begin_window("step")
    time.sleep(0.5)
    result = monitor.end_window("step")
    print(f"step {step}: {result.time:.3f} s, {result.total_energy:.1f} J")
result = monitor.end_window("epoch")
print(f"epoch: {result.time:.3f} s, {result.total_energy:.1f} J")
