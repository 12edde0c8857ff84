"""The facts of a backend, with every answer checked: they may come from another package."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar, cast, get_args

from llem_config import ExperimentConfig
from llem_energy._backends.facts import BackendFacts, DeviceChoice
from llem_energy._backends.first_study import FirstStudy
from llem_energy._errors import BackendError, MeasurementError
from llem_energy._model_info.loaded_parts import LoadedParts
from llem_energy._model_info.memory_estimate import MemoryEstimate, MemoryLayout
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.prompt import Chat, ChatProblem

_Answer = TypeVar("_Answer")


class CheckedFacts(BackendFacts):
    """The answers of other facts; an error or an answer of a wrong type is a `BackendError`.

    Args:
        facts: of a backend.
        describe: returns the sentence about a problem, with the name of the package.
    """

    def __init__(self, facts: BackendFacts, describe: Callable[[str], str]) -> None:
        self._facts = facts
        self._describe = describe

    def requirements(self, config: ExperimentConfig, *, has_gpu: bool) -> Iterable[str]:
        """Return one sentence for each requirement that this machine does not meet."""
        return self._answer(
            "requirements", lambda: _sentences(self._facts.requirements(config, has_gpu=has_gpu))
        )

    def file_problems(self, config: ExperimentConfig) -> Iterable[str]:
        """Return one sentence for each reason why no machine can run the experiment."""
        return self._answer("file_problems", lambda: _sentences(self._facts.file_problems(config)))

    def files_read(self, config: ExperimentConfig) -> Hashable:
        """Return a key that is equal for experiments with the same `file_problems`."""

        def key() -> Hashable:
            answer = self._facts.files_read(config)
            hash(answer)
            return answer

        return self._answer("files_read", key)

    def device(self, config: ExperimentConfig) -> DeviceChoice | None:
        """Return where the experiment runs; None if unknown."""
        choices = (None, *get_args(DeviceChoice))
        return self._answer("device", lambda: _one_of(self._facts.device(config), choices))

    def first_studies(self, n_gpus: int) -> tuple[FirstStudy, ...]:
        """Return studies to begin with, the preferred ones first."""
        return self._answer(
            "first_studies", lambda: tuple(_each(self._facts.first_studies(n_gpus), FirstStudy))
        )

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool | None:
        """Return whether one model is spread over all visible GPUs; None if unknown."""
        return self._answer(
            "spreads_over_gpus",
            lambda: _one_of(self._facts.spreads_over_gpus(config), (None, True, False)),
        )

    def models(self, config: ExperimentConfig) -> tuple[ModelRef, ...]:
        """Return every model that the experiment reads."""

        def models() -> tuple[ModelRef, ...]:
            answer = tuple(_each(self._facts.models(config), ModelRef))
            if not answer:
                raise ValueError("expected at least the main model, found no model")
            return answer

        return self._answer("models", models)

    def parts(self, config: ExperimentConfig) -> LoadedParts:
        """Return what is read from the folder of the main model, besides its configuration."""

        def parts() -> LoadedParts:
            (answer,) = _each([self._facts.parts(config)], LoadedParts)
            return cast(LoadedParts, answer)

        return self._answer("parts", parts)

    def memory(self, config: ExperimentConfig) -> MemoryLayout | MemoryEstimate | None:
        """Return how the models are held in memory; None if unknown."""

        def memory() -> MemoryLayout | MemoryEstimate | None:
            answer = self._facts.memory(config)
            if answer is not None:
                _each([answer], (MemoryLayout, MemoryEstimate))
            return answer

        return self._answer("memory", memory)

    def chat_problems(
        self, config: ExperimentConfig, chats: Iterable[Chat]
    ) -> Sequence[ChatProblem]:
        """Return why conversations cannot be prompts of an experiment."""
        return self._answer(
            "chat_problems", lambda: _each(self._facts.chat_problems(config, chats), ChatProblem)
        )

    def warnings(self, config: ExperimentConfig) -> Iterable[str]:
        """Return sentences about the options that a reader of the result should know."""
        return self._answer("warnings", lambda: _sentences(self._facts.warnings(config)))

    def large_packages(self) -> tuple[str, ...]:
        """Return the packages of the inference library."""
        return self._answer(
            "large_packages", lambda: tuple(_sentences(self._facts.large_packages()))
        )

    def _answer(self, method: str, answer: Callable[[], _Answer]) -> _Answer:
        try:
            return answer()
        except MeasurementError:
            raise  # a sentence already
        except (Exception, SystemExit) as error:
            problem = f"{method}() failed with {type(error).__name__}: {error}"
            raise BackendError(self._describe(problem)) from error


def _sentences(answer: Any) -> list[str]:
    if isinstance(answer, str):
        raise TypeError(f"expected a list of sentences, found the text {answer!r}")
    return [str(item) for item in _each(answer, str)]


def _each(answer: Any, kind: Any) -> list[Any]:
    items = list(answer)
    for item in items:
        if not isinstance(item, kind):
            raise TypeError(f"expected {getattr(kind, '__name__', 'a layout')}, found {item!r}")
    return items


def _one_of(answer: _Answer, choices: tuple[Any, ...]) -> _Answer:
    if answer not in choices:
        names = ", ".join("None" if choice is None else repr(choice) for choice in choices)
        raise ValueError(f"expected one of {names}, found {answer!r}")
    return answer
