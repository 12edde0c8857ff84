"""Checks of the methods that every backend has."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backend_checks.support import BackendCheckFailed, expect, generate_all, ready
from llem_energy._backends.protocol import ChecksLogits, ScoresText, TextScore
from llem_energy._backends.registry import find_backend, process_ids
from llem_energy._errors import BackendError
from llem_energy._host.processes import find_processes
from llem_energy._measurement.measure import measure


def opening_returns_the_uuids_of_gpus(config: ExperimentConfig) -> None:
    """They have NVML's form, so that the energy of exactly these GPUs is read."""
    backend = find_backend(config)
    try:
        uuids = backend.open()
    finally:
        backend.close()
    expect(isinstance(uuids, tuple), f"expected a tuple of UUIDs, found {uuids!r}")
    valid = all(uuid.startswith(("GPU-", "MIG-")) for uuid in uuids)
    expect(valid, f"expected UUIDs in NVML's form, GPU-..., found {uuids!r}")


def closing_is_safe_at_any_time(config: ExperimentConfig) -> None:
    """Also before `open`, and twice: a failed run closes the backend in any state."""
    find_backend(config).close()
    with ready(config) as (backend, _, _):
        backend.close()


def a_model_that_does_not_exist_is_a_backend_error(config: ExperimentConfig) -> None:
    """The backend turns errors of its library into BackendError."""
    missing = {"model": "./no-such-folder-of-any-model", "weights": "pretrained"}
    backend = find_backend(config.model_copy(update=missing))
    try:
        backend.open()
        backend.load()
    except BackendError:
        return
    finally:
        backend.close()
    raise BackendCheckFailed("expected BackendError for a model that does not exist")


def named_processes_exist(config: ExperimentConfig) -> None:
    """`process_ids` is optional; it returns the ids of processes that run now."""
    with ready(config) as (backend, _, workload):
        generate_all(backend, workload)
        ids = process_ids(backend)
        expect(
            all(type(pid) is int and pid > 0 for pid in ids),
            f"expected ids of processes, found {ids}",
        )
        running = find_processes()
        missing = [pid for pid in ids if running and pid not in running]
        expect(not missing, f"expected processes that run now, found the ids {missing} of none")


def every_prompt_is_in_one_batch(config: ExperimentConfig) -> None:
    """Batching may change the order of prompts, but not their number or length."""
    with ready(config) as (_, prompts, workload):
        lengths = [n for batch in workload.batches for n in batch.lengths]
        expect(len(lengths) == config.n, f"expected {config.n} prompts, found {len(lengths)}")
        for batch in workload.batches:
            n_rows, width = batch.shape
            same_number = batch.n_prompts == n_rows == len(batch.lengths)
            expect(same_number, f"{batch.shape}: the numbers of prompts differ")
            expect(width >= max(batch.lengths), f"{batch.shape}: a prompt is longer than that")
        if not any(isinstance(prompt, str) for prompt in prompts):
            expected = Counter(min(len(prompt), config.max_input_tokens) for prompt in prompts)
            message = f"expected the lengths {expected}, found {lengths}"
            expect(Counter(lengths) == expected, message)
        indices = [index for batch in workload.batches for index in batch.prompt_indices]
        complete = not indices or sorted(indices) == list(range(config.n))
        expect(complete, f"expected every index from 0 to {config.n - 1} once, found {indices}")


def long_prompts_are_cut_and_counted(config: ExperimentConfig) -> None:
    """No prompt is longer than `max_input_tokens`, and padding does not count as tokens."""
    with ready(config) as (backend, _, _):
        ids = tuple(backend.vocabulary())[:1] * (config.max_input_tokens + 1)
        workload = backend.prepare([ids, ids[:2], ids[:1]])
    lengths = sorted(n for batch in workload.batches for n in batch.lengths)
    expected = sorted([config.max_input_tokens, min(2, config.max_input_tokens), 1])
    expect(lengths == expected, f"expected the lengths {expected}, found {lengths}")
    expect(workload.n_truncated >= 1, "expected the cut prompt to be counted, found 0")


def output_tokens_are_exact(config: ExperimentConfig) -> None:
    """With `ignore_eos` every prompt gets `max_output_tokens`; otherwise it may get fewer."""
    with ready(config) as (backend, _, workload):
        n_max = config.max_output_tokens
        for batch, generation in generate_all(backend, workload):
            counts = generation.n_tokens()
            expect(
                len(counts) == batch.n_prompts,
                f"expected {batch.n_prompts} counts, found {len(counts)}",
            )
            exact = all(n == n_max for n in counts)
            within = all(1 <= n <= n_max for n in counts)
            correct = exact if config.decoder.ignore_eos else within
            expect(correct, f"expected {n_max} output tokens for each prompt, found {counts}")


def logits_of_a_sound_model_pass(config: ExperimentConfig) -> None:
    """`check_logits` is optional; it raises nothing for a model whose logits are numbers, also twice."""
    with ready(config) as (backend, _, workload):
        for _, generation in generate_all(backend, workload) * 2:
            if isinstance(generation, ChecksLogits):
                try:
                    generation.check_logits()
                except BackendError as error:
                    message = f"expected finite logits of a small model, found: {error}"
                    raise BackendCheckFailed(message) from error


def scores_of_text_are_likelihoods(config: ExperimentConfig) -> None:
    """`score_text` and `score_answers` are optional; each token has a probability of at most 1."""
    with ready(config) as (backend, _, workload):
        if not isinstance(backend, ScoresText):
            return
        n_rows, n_columns = 2, 8
        scores: list[tuple[TextScore, int]] = []
        with contextlib.suppress(BackendError):  # the model has no tokenizer
            score = backend.score_text("A text of words that is read again. " * 20, (2, 8))
            scores.append((score, n_rows * n_columns))
        for batch, generation in generate_all(backend, workload):
            try:
                score = backend.score_answers(batch, generation, 10**6)
            except BackendError as error:
                expect(bool(str(error)), "expected a reason why outputs cannot be scored")
                continue
            n_output = sum(generation.n_tokens())
            expect(score.n_tokens == n_output, f"expected {n_output} tokens, found {score}")
            scores.append((score, n_output))
        for score, n_max in scores:
            within = 0 <= score.nll < math.inf and 0 < score.n_tokens <= n_max
            expect(within, f"expected a likelihood of up to {n_max} tokens, found {score}")
            n_choices = len(score.choices)
            expect(n_choices in (0, score.n_tokens), f"expected a choice per token, found {score}")


def generations_can_be_read_after_the_window(config: ExperimentConfig) -> None:
    """A generation keeps its tokens and times after further batches were generated."""
    with ready(config) as (backend, _, workload):
        generations = generate_all(backend, workload)
        for _ in range(2):
            generate_all(backend, workload)
        counts = [generation.n_tokens() for _, generation in generations]
        again = [generation.n_tokens() for _, generation in generations]
        same = counts == again and len(counts) == len(workload.batches)
        expect(same, f"expected the same token counts twice, found {counts}, then {again}")


def token_times_increase_within_the_batch(config: ExperimentConfig) -> None:
    """One time for each step, since the batch began; None if the backend has no such times."""
    with ready(config) as (backend, _, workload):
        start_s = time.perf_counter()
        generations = generate_all(backend, workload)
        elapsed_s = time.perf_counter() - start_s
        for _, generation in generations:
            times_s = generation.token_times_s()
            if times_s is None:
                continue
            n_steps = max(generation.n_tokens())
            expect(len(times_s) >= n_steps, f"expected {n_steps} times, found {len(times_s)}")
            ascending = list(times_s) == sorted(times_s)
            expect(ascending, f"expected ascending times, found {times_s}")
            within = times_s[0] >= 0 and times_s[-1] <= elapsed_s
            expect(within, f"expected times within {elapsed_s} s, found {times_s}")


def the_seed_can_be_set_again(config: ExperimentConfig) -> None:
    """The same seed gives outputs of the same length."""
    with ready(config) as (backend, _, workload):
        runs = []
        for _ in range(2):
            backend.seed()
            runs.append([output.n_tokens() for _, output in generate_all(backend, workload)])
        expect(runs[0] == runs[1], f"expected the same lengths twice, found {runs}")


def memory_states_how_it_was_measured(config: ExperimentConfig) -> None:
    """An unknown value is None; the peak includes the weights."""
    with ready(config) as (backend, _, workload):
        backend.reset_peak_memory()
        generate_all(backend, workload)
        memory = backend.memory()
    expect(bool(memory.method), "expected how the memory was measured, found an empty text")
    if memory.peak_bytes is not None and memory.weights_bytes is not None:
        includes_weights = memory.peak_bytes >= memory.weights_bytes > 0
        expect(includes_weights, f"expected a peak above the weights, found {memory}")


def operations_grow_with_the_output(config: ExperimentConfig) -> None:
    """Operations are for reference; None if they cannot be counted."""
    with ready(config) as (backend, _, _):
        short, longer = backend.flops(4, 2), backend.flops(4, 3)
        if short is not None and longer is not None:
            grows = 0 < short.total < longer.total
            expect(grows, f"expected more operations, found {short.total}, then {longer.total}")
            expect(bool(short.method), "expected how operations were counted, found an empty text")


def operations_leave_out_cached_tokens(config: ExperimentConfig) -> None:
    """Tokens that came from a prefix cache were not read; prefill and decode add up to the total."""
    with ready(config) as (backend, _, _):
        read, cached = backend.flops(4, 3), backend.flops(4, 3, 2)
        if read is None or cached is None:
            return
        is_less = 0 < cached.total < read.total
        expect(
            is_less, f"expected fewer than {read.total} with cached tokens, found {cached.total}"
        )
        if read.prefill is not None and read.decode is not None:
            gap = abs(read.prefill + read.decode - read.total)
            found = f"{read.prefill} and {read.decode} of {read.total}"
            expect(gap <= 1e-6 * read.total, f"expected phases that add up, found {found}")


def phases_can_run_repeatedly(config: ExperimentConfig) -> None:
    """Prefill reads the prompts, decode generates the rest; or BackendError gives the reason."""
    names: tuple[PhaseName, ...] = ("prefill", "decode")
    with ready(config) as (backend, _, workload):
        batch = workload.batches[0]
        for name in names:
            try:
                phase = backend.phase(name, batch)
            except BackendError as error:
                expect(bool(str(error)), f"expected a reason why {name} cannot run alone")
                continue
            for _ in range(2):
                phase.run()
            backend.synchronise()
            n_decoded = batch.n_prompts * (config.max_output_tokens - 1)
            n_tokens = sum(batch.lengths) if name == "prefill" else n_decoded
            expected = (name, n_tokens, batch.n_prompts)
            found = (phase.name, phase.n_tokens, phase.n_prompts)
            expect(found == expected, f"expected {expected}, found {found}")


def repeated_shapes_are_not_compiled_again(config: ExperimentConfig) -> None:
    """After every shape was generated once, nothing is compiled; None if that is unknown."""
    with ready(config) as (backend, _, workload):
        counts = []
        for _ in range(3):
            generate_all(backend, workload)
            counts.append(backend.compilations())
        expect(counts[1] == counts[2], f"expected no further compilation, found {counts}")


def effective_config_is_plain_json(config: ExperimentConfig) -> None:
    """Text, finite numbers, lists and mappings with text keys; not empty."""
    with ready(config) as (backend, _, workload):
        generate_all(backend, workload)
        effective = backend.effective_config()
    expect(bool(effective), "expected the options in use, found none")
    try:
        text = json.dumps(effective, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BackendCheckFailed(f"expected JSON from effective_config: {error}") from error
    expect(json.loads(text) == effective, "effective_config differs after encoding as JSON")


def a_whole_measurement_counts_every_token(config: ExperimentConfig) -> None:
    """Calls `measure`, as a study does."""
    result = measure(config)
    expect(result.n_prompts == config.n, f"expected {config.n} prompts, found {result.n_prompts}")
    n_max = config.n * config.max_output_tokens * result.n_repeats
    n_tokens = result.output_tokens
    exact = n_tokens == n_max or not config.decoder.ignore_eos
    expect(exact and 0 < n_tokens <= n_max, f"expected {n_max} output tokens, found {n_tokens}")
    n_cached = result.cached_input_tokens
    within = n_cached is None or 0 <= n_cached <= result.input_tokens
    expect(within, f"expected up to {result.input_tokens} cached tokens, found {n_cached}")
    speed = result.tokens_per_second
    expect(math.isfinite(speed), f"expected a finite number of tokens per second, found {speed}")
