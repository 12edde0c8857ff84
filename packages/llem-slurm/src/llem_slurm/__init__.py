"""Run llem studies on a Slurm cluster, by `sbatch` and four more commands of it.

    llem-cli study submit study.yaml --on slurm

llem-runner finds `Slurm` by its entry point. Nothing here waits for a job: a study's files say what
is done, and Slurm starts the shards.
"""

from llem_slurm._settings import SlurmSettings
from llem_slurm._slurm import Slurm

__all__ = ["Slurm", "SlurmSettings"]
