"""What every backend promises, as checks that its author can run; each is a plain function.

    @pytest.mark.parametrize("check", llem_energy.CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check):
        check(config)

Any small experiment will do; it needs at least 3 prompts and 3 output tokens.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.protocol import Answer, Backend, Batch, Workload
from llem_energy._backends.registry import find_backend
from llem_energy._errors import BackendError
from llem_energy._measurement.measure import measure
from llem_energy._prompts.load import load_prompts
from llem_energy._prompts.prompt import Prompt

Check = Callable[[ExperimentConfig], None]


class ContractBroken(AssertionError):  # noqa: N818  # reads as the sentence it is
    """A backend does not keep a promise; the text says which."""


def _expect(kept: bool, otherwise: str) -> None:
    if not kept:
        raise ContractBroken(otherwise)


@contextmanager
def _ready(config: ExperimentConfig) -> Iterator[tuple[Backend, list[Prompt], Workload]]:
    """Give a loaded backend and its prompts; it is closed afterwards."""
    backend = find_backend(config)
    try:
        backend.open()
        backend.load()
        prompts = load_prompts(config, backend.vocabulary())
        workload = backend.prepare(prompts)
        backend.seed()
        yield backend, list(prompts), workload
    finally:
        backend.close()


def _all(backend: Backend, workload: Workload) -> list[tuple[Batch, Answer]]:
    answers = [(batch, backend.generate(batch)) for batch in workload.batches]
    backend.synchronise()
    return answers


def opening_returns_the_uuids_of_gpus(config: ExperimentConfig) -> None:
    """They are NVML's, so that the energy of these GPUs and no others is read."""
    backend = find_backend(config)
    try:
        uuids = backend.open()
    finally:
        backend.close()
    _expect(isinstance(uuids, tuple), f"expected a tuple of UUIDs, found {uuids!r}")
    known = all(one.startswith(("GPU-", "MIG-")) for one in uuids)
    _expect(known, f"expected UUIDs as NVML writes them, GPU-..., found {uuids!r}")


def closing_is_safe_at_any_time(config: ExperimentConfig) -> None:
    """Also before `open`, and twice: a failed run closes whatever there is."""
    find_backend(config).close()
    with _ready(config) as (backend, _, _):
        backend.close()


def a_model_that_does_not_exist_is_a_backend_error(config: ExperimentConfig) -> None:
    """Foreign errors become a sentence where they arise."""
    missing = {"model": "./no-such-folder-of-any-model", "weights": "pretrained"}
    backend = find_backend(config.model_copy(update=missing))
    try:
        backend.open()
        backend.load()
    except BackendError:
        return
    finally:
        backend.close()
    raise ContractBroken("expected BackendError for a model that does not exist")


def every_prompt_is_answered_once(config: ExperimentConfig) -> None:
    """Batching may change the order of prompts, never their number or length."""
    with _ready(config) as (_, prompts, workload):
        lengths = [n for batch in workload.batches for n in batch.lengths]
        _expect(len(lengths) == config.n, f"expected {config.n} prompts, found {len(lengths)}")
        for batch in workload.batches:
            rows, width = batch.shape
            _expect(batch.n_prompts == rows == len(batch.lengths), f"{batch.shape}: rows differ")
            _expect(width >= max(batch.lengths), f"{batch.shape}: a prompt is longer than that")
        if not any(isinstance(one, str) for one in prompts):
            given = Counter(min(len(one), config.max_input_tokens) for one in prompts)
            _expect(Counter(lengths) == given, f"expected the lengths {given}, found {lengths}")
        places = [place for batch in workload.batches for place in batch.positions]
        known = not places or sorted(places) == list(range(config.n))
        _expect(known, f"expected every position from 0 to {config.n - 1} once, found {places}")


def long_prompts_are_cut_and_counted(config: ExperimentConfig) -> None:
    """No prompt is longer than `max_input_tokens`, and padding is no token of a prompt."""
    with _ready(config) as (backend, _, _):
        words = tuple(backend.vocabulary())[:1] * (config.max_input_tokens + 1)
        workload = backend.prepare([words, words[:2], words[:1]])
    lengths = sorted(n for batch in workload.batches for n in batch.lengths)
    expected = sorted([config.max_input_tokens, min(2, config.max_input_tokens), 1])
    _expect(lengths == expected, f"expected the lengths {expected}, found {lengths}")
    _expect(workload.n_truncated >= 1, "expected the cut prompt to be counted")


def output_tokens_are_exact(config: ExperimentConfig) -> None:
    """With `ignore_eos` every answer has `max_output_tokens`; else it may end before."""
    with _ready(config) as (backend, _, workload):
        most = config.max_output_tokens
        for batch, answer in _all(backend, workload):
            counts = answer.n_tokens()
            _expect(len(counts) == batch.n_prompts, f"{len(counts)} counts, {batch.n_prompts} rows")
            exact = all(n == most for n in counts)
            within = all(1 <= n <= most for n in counts)
            kept = exact if config.decoder.ignore_eos else within
            _expect(kept, f"expected {most} output tokens of each prompt, found {counts}")


def answers_are_read_after_the_window(config: ExperimentConfig) -> None:
    """An answer still tells its tokens and times after others were made."""
    with _ready(config) as (backend, _, workload):
        first = _all(backend, workload)
        for _ in range(2):
            _all(backend, workload)
        counts = [answer.n_tokens() for _, answer in first]
        again = [answer.n_tokens() for _, answer in first]
        _expect(counts == again and len(counts) == len(workload.batches), "an answer has changed")


def times_of_tokens_rise_within_the_answer(config: ExperimentConfig) -> None:
    """One time for each step, since the batch began; None where tokens have no such times."""
    with _ready(config) as (backend, _, workload):
        start_s = time.perf_counter()
        answers = _all(backend, workload)
        spent_s = time.perf_counter() - start_s
        for _, answer in answers:
            times = answer.token_times_s()
            if times is None:
                continue
            n_steps = max(answer.n_tokens())
            _expect(len(times) >= n_steps, f"expected {n_steps} times, found {len(times)}")
            _expect(list(times) == sorted(times), f"expected times that rise, found {times}")
            within = times[0] >= 0 and times[-1] <= spent_s
            _expect(within, f"expected times within {spent_s} s, found {times}")


def the_seed_can_be_set_between_answers(config: ExperimentConfig) -> None:
    """The same seed gives answers of the same length."""
    with _ready(config) as (backend, _, workload):
        runs = []
        for _ in range(2):
            backend.seed()
            runs.append([answer.n_tokens() for _, answer in _all(backend, workload)])
        _expect(runs[0] == runs[1], f"expected the same lengths twice, found {runs}")


def memory_says_how_it_was_measured(config: ExperimentConfig) -> None:
    """What is not known is None; the peak has the weights in it."""
    with _ready(config) as (backend, _, workload):
        backend.reset_peak_memory()
        _all(backend, workload)
        memory = backend.memory()
    _expect(bool(memory.method), "expected the method of the memory's measurement")
    if memory.peak_bytes is not None and memory.weights_bytes is not None:
        _expect(memory.peak_bytes >= memory.weights_bytes > 0, f"{memory}: less than the weights")


def operations_grow_with_the_answer(config: ExperimentConfig) -> None:
    """For reference; None where they cannot be counted."""
    with _ready(config) as (backend, _, _):
        short, longer = backend.flops(4, 2), backend.flops(4, 3)
        if short is not None and longer is not None:
            _expect(0 < short.total < longer.total, f"{short.total}, then {longer.total}")
            _expect(bool(short.method), "expected the method of the count")


def phases_do_their_part_again_and_again(config: ExperimentConfig) -> None:
    """Prefill reads the prompts, decode gives the rest; or BackendError says why not."""
    parts: tuple[PhaseName, ...] = ("prefill", "decode")
    with _ready(config) as (backend, _, workload):
        batch = workload.batches[0]
        for name in parts:
            try:
                phase = backend.phase(name, batch)
            except BackendError as error:
                _expect(bool(str(error)), f"expected a reason why {name} cannot be run apart")
                continue
            for _ in range(2):
                phase.run()
            backend.synchronise()
            rest = batch.n_prompts * (config.max_output_tokens - 1)
            expected = sum(batch.lengths) if name == "prefill" else rest
            found = (phase.name, phase.n_tokens, phase.n_prompts)
            _expect(found == (name, expected, batch.n_prompts), f"{name}: {expected} != {found}")


def nothing_is_compiled_the_second_time(config: ExperimentConfig) -> None:
    """After every shape was answered once, the window compiles nothing; None: it cannot be told."""
    with _ready(config) as (backend, _, workload):
        counts = []
        for _ in range(3):
            _all(backend, workload)
            counts.append(backend.compilations())
        _expect(counts[1] == counts[2], f"expected nothing new to be compiled, found {counts}")


def what_was_effective_is_plain_json(config: ExperimentConfig) -> None:
    """Text, finite numbers, lists and mappings with text keys; not empty, and the same again."""
    with _ready(config) as (backend, _, workload):
        _all(backend, workload)
        found = backend.effective_config()
    _expect(bool(found), "expected what was really used, found nothing")
    try:
        text = json.dumps(found, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractBroken(f"effective_config is no JSON: {error}") from error
    _expect(json.loads(text) == found, "effective_config changes on its way through JSON")


def a_whole_measurement_counts_what_was_answered(config: ExperimentConfig) -> None:
    """Through `measure`, as a study does it."""
    result = measure(config)
    _expect(result.n_prompts == config.n, f"expected {config.n} prompts, found {result.n_prompts}")
    most = config.n * config.max_output_tokens * result.n_repeats
    exact = result.output_tokens == most if config.decoder.ignore_eos else True
    _expect(exact and 0 < result.output_tokens <= most, f"{result.output_tokens} of {most} tokens")
    _expect(math.isfinite(result.tokens_per_second), "the speed is not finite")


CONTRACT: tuple[Check, ...] = (
    opening_returns_the_uuids_of_gpus,
    closing_is_safe_at_any_time,
    a_model_that_does_not_exist_is_a_backend_error,
    every_prompt_is_answered_once,
    long_prompts_are_cut_and_counted,
    output_tokens_are_exact,
    answers_are_read_after_the_window,
    times_of_tokens_rise_within_the_answer,
    the_seed_can_be_set_between_answers,
    memory_says_how_it_was_measured,
    operations_grow_with_the_answer,
    phases_do_their_part_again_and_again,
    nothing_is_compiled_the_second_time,
    what_was_effective_is_plain_json,
    a_whole_measurement_counts_what_was_answered,
)
"""Every check; each takes a small experiment of the backend and raises `ContractBroken`."""
