"""The digests of what a run reads, taken before and after it is read.

Both are taken outside every window and all idle time. If the files did not change since the digests
were stored in the cache, no large file is read here.
"""

from __future__ import annotations

from llem_config import ExperimentConfig
from llem_energy._backends.input_digests import changed_inputs, digest_inputs
from llem_energy._errors import MeasurementError
from llem_energy._model_info.input_digest import InputDigest


def read_inputs(config: ExperimentConfig) -> tuple[InputDigest, ...]:
    """Return the digests of what an experiment reads; a model that is not here yet has none."""
    return digest_inputs([config])[0]


def read_again(
    config: ExperimentConfig, before: tuple[InputDigest, ...]
) -> tuple[InputDigest, ...]:
    """Return the digests after everything was read.

    Args:
        config: the experiment.
        before: the digests before.

    Raises:
        MeasurementError: a file changed meanwhile, so it is not known what was read.
    """
    after = read_inputs(config)
    if changed := changed_inputs(before, after):
        raise MeasurementError(
            f"{', '.join(changed)} changed while the run read it; run it again when no other "
            "program writes to these files"
        )
    return after
