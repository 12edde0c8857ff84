"""Facts about a model before it is loaded: memory and architectures.

    from llem_energy.models import estimate_memory
    estimate = estimate_memory(config)

The estimate is None if the architecture is unknown or the backend provides no facts.
"""

from llem_energy._backends.memory import estimate_memory
from llem_energy._model_info.builtin import builtin_architecture, builtin_names
from llem_energy._model_info.memory_estimate import MemoryEstimate, gigabytes

__all__ = [
    "MemoryEstimate",
    "builtin_architecture",
    "builtin_names",
    "estimate_memory",
    "gigabytes",
]
