"""The list of all checks, in the order in which they should run."""

from __future__ import annotations

from llem_energy._backend_checks import cache_checks, protocol_checks
from llem_energy._backend_checks.support import Check

BACKEND_CHECKS: tuple[Check, ...] = (
    protocol_checks.opening_returns_the_uuids_of_gpus,
    protocol_checks.closing_is_safe_at_any_time,
    protocol_checks.a_model_that_does_not_exist_is_a_backend_error,
    protocol_checks.named_processes_exist,
    protocol_checks.every_prompt_is_in_one_batch,
    protocol_checks.long_prompts_are_cut_and_counted,
    protocol_checks.output_tokens_are_exact,
    protocol_checks.logits_of_a_sound_model_pass,
    protocol_checks.scores_of_text_are_likelihoods,
    protocol_checks.generations_can_be_read_after_the_window,
    protocol_checks.token_times_increase_within_the_batch,
    protocol_checks.the_seed_can_be_set_again,
    protocol_checks.memory_states_how_it_was_measured,
    protocol_checks.operations_grow_with_the_output,
    protocol_checks.operations_leave_out_cached_tokens,
    protocol_checks.phases_can_run_repeatedly,
    protocol_checks.repeated_shapes_are_not_compiled_again,
    protocol_checks.effective_config_is_plain_json,
    cache_checks.prompts_of_the_same_lengths_give_the_same_shapes,
    cache_checks.cached_tokens_are_at_the_start_of_a_prompt,
    cache_checks.extra_tokens_have_one_number_for_each_prompt,
    cache_checks.new_prompts_are_read,
    cache_checks.an_emptied_cache_answers_nothing,
    protocol_checks.a_whole_measurement_counts_every_token,
)
"""Every check; each takes a small experiment of the backend and raises `BackendCheckFailed`."""
