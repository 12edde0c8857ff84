"""What a backend can say about an experiment before its library is imported."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal

from llem_config import ExperimentConfig
from llem_energy._backends.first_study import FirstStudy
from llem_energy._model_info.loaded_parts import LoadedParts
from llem_energy._model_info.memory_estimate import MemoryEstimate, MemoryLayout
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.prompt import Chat, ChatProblem

DeviceChoice = Literal["auto", "gpu", "cpu"]


class BackendFacts:
    """Facts that only the backend knows, because they depend on its own options.

    A backend's package derives a class from this one, overrides the methods that it can answer,
    and names the class in the entry-point group `llem.backend_facts`. Every default means "not
    known": llem then does not guess. llem makes an instance without arguments and calls it in
    processes that must not load an inference library, so the module may import nothing heavy.
    """

    def requirements(self, config: ExperimentConfig, *, has_gpu: bool) -> Iterable[str]:
        """Return one sentence for each requirement that this machine does not meet.

        Args:
            config: the experiment.
            has_gpu: whether the driver shows a GPU on this machine.
        """
        del config, has_gpu
        return ()

    def file_problems(self, config: ExperimentConfig) -> Iterable[str]:
        """Return one sentence for each reason why no machine can run the experiment.

        Only the files that it names count: no device, no installed library, no network. One such
        problem refuses the whole study.
        """
        del config
        return ()

    def files_read(self, config: ExperimentConfig) -> Hashable:
        """Return a key that is equal for experiments with the same `file_problems`.

        They are then looked for once, not for every point of a study.
        """
        return config.model_dump_json()

    def device(self, config: ExperimentConfig) -> DeviceChoice | None:
        """Return where the experiment runs; `auto` takes a GPU if there is one.

        None means unknown: the study then locks every visible GPU, and no memory is compared.
        """
        del config
        return None

    def first_studies(self, n_gpus: int) -> tuple[FirstStudy, ...]:
        """Return studies to begin with, the preferred ones first; () if there is no proposal.

        Args:
            n_gpus: number of visible GPUs.
        """
        del n_gpus
        return ()

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool | None:
        """Return whether one model is spread over all visible GPUs; None if unknown."""
        del config
        return None

    def models(self, config: ExperimentConfig) -> tuple[ModelRef, ...]:
        """Return every model that the experiment reads: the main model first, then draft models."""
        return (ModelRef(config.model),)

    def parts(self, config: ExperimentConfig) -> LoadedParts:
        """Return what is read from the folder of the main model, besides its configuration.

        The result has the digest of these files.
        """
        return LoadedParts(None if config.weights == "random" else "safetensors")

    def memory(self, config: ExperimentConfig) -> MemoryLayout | MemoryEstimate | None:
        """Return how the models are held in memory, or the backend's own estimate.

        None means unknown: the experiment then has no memory estimate.
        """
        del config
        return None

    def chat_problems(
        self, config: ExperimentConfig, chats: Iterable[Chat]
    ) -> Sequence[ChatProblem]:
        """Return why conversations cannot be prompts of an experiment; up to ten.

        A backend that renders chats overrides this. It returns nothing if only a run can show it,
        for example because the model is not on this machine.

        Args:
            config: the experiment, with full paths.
            chats: of the rows, in the order of the data set; there may be millions.
        """
        del chats
        return (
            ChatProblem(
                0,
                f"the backend {config.backend} does not apply chat templates; use a data set with "
                "text, without `dataset.chat_template`",
            ),
        )

    def warnings(self, config: ExperimentConfig) -> Iterable[str]:
        """Return sentences about the options that a reader of the result should know."""
        del config
        return ()

    def large_packages(self) -> tuple[str, ...]:
        """Return the packages of the inference library, by the names that a run imports.

        If they are installed without compiled Python files, the processes of runs keep compiled
        files in the cache of llem.
        """
        return ()
