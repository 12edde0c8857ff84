"""Run a study on several GPUs of this machine at once, each run on one of them.

    from llem_runner.parallel import run_on_gpus
    result = run_on_gpus("study.yaml", gpus="all")

docs/many-gpus.md describes how a study is divided, and what runs beside one another change.
"""

from llem_runner._parallel.plan import check_gpus, shards_per_cycle
from llem_runner._parallel.pool import OnGpu
from llem_runner._parallel.run import resume_on_gpus, run_on_gpus

__all__ = ["OnGpu", "check_gpus", "resume_on_gpus", "run_on_gpus", "shards_per_cycle"]
