"""Facts about a model before it is loaded: memory and architectures.

    from llem_energy.models import estimate_memory
    estimate = estimate_memory(config)

The estimate is None if the architecture is unknown or the backend provides no facts.
"""

from llem_energy._backends.input_digests import digest_inputs
from llem_energy._backends.memory import estimate_memory
from llem_energy._model_info.builtin import builtin_architecture, builtin_names
from llem_energy._model_info.input_digest import FileDigest, InputDigest, damaged_files
from llem_energy._model_info.memory_estimate import MemoryEstimate, gigabytes

__all__ = [
    "FileDigest",
    "InputDigest",
    "MemoryEstimate",
    "builtin_architecture",
    "builtin_names",
    "damaged_files",
    "digest_inputs",
    "estimate_memory",
    "gigabytes",
]
