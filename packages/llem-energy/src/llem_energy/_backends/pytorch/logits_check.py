"""Notices logits that are no numbers, without waiting for the device in the window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch import introspection as readings
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError

_N_TOKENS = 64  # of a row that is read once more


class LogitsCheck:
    """Remembers on the device whether any step chose a token from logits that are no numbers.

    `generate` calls it in each step, as a processor of logits that changes none of them. A step costs
    the maximum of each row and a sum over rows; nothing is read before the window is over.
    """

    def __init__(self, *, is_sampled: bool) -> None:
        """Prepare.

        Args:
            is_sampled: whether tokens are drawn. Then logits that are no numbers are replaced: on a
                GPU they would end the process's use of it, with a message of the driver.
        """
        self._is_sampled = is_sampled
        self._sums: dict[int, tuple[Any, Any]] = {}

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Look at the logits of one step; shape (rows, vocabulary)."""
        del input_ids
        # NaN if any logit is NaN, inf if any is inf, -inf if all are -inf. Single logits of -inf
        # are tokens that may not be chosen.
        largest = scores.amax(dim=-1)
        n_rows = scores.shape[0]
        if n_rows not in self._sums:
            self._sums[n_rows] = torch.zeros_like(largest), torch.zeros_like(largest)
        sums, zeros = self._sums[n_rows]
        # 0 times inf is NaN, and NaN stays NaN in every later sum.
        sums.addcmul_(largest, zeros)
        if self._is_sampled:
            scores = scores.masked_fill(~torch.isfinite(largest)[:, None], 0.0)
        return scores

    def is_passed(self) -> bool:
        """Return whether all logits so far were numbers; waits for the device."""
        return all(bool(torch.isfinite(sums).all()) for sums, _ in self._sums.values())


def has_finite_logits(model: Any, ids: Any) -> bool:
    """Return whether the logits of the last tokens of some rows are numbers, in one more forward pass.

    Args:
        model: as loaded.
        ids: tokens of the rows, without padding.
    """
    ids = ids[:, -_N_TOKENS:]
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        return bool(torch.isfinite(logits.float().amax(dim=-1)).all())


def broken_logits(config: ExperimentConfig, model: Any) -> BackendError:
    """Return the error of a model whose logits are no numbers.

    Args:
        config: the experiment.
        model: as loaded.
    """
    parts = [f"weights in {readings.main_type(model)}", f"attention {readings.attention(model)}"]
    if section(config).torch_compile:
        parts.append("compiled code")
    return BackendError(
        f"expected finite logits of model {config.model}, found NaN or infinity in precision "
        f"{config.precision} ({', '.join(parts)}), so its outputs mean nothing; "
        f"try {', '.join(_advice(config, model))}; if the logits are still not finite, the weights "
        "are damaged"
    )


def _advice(config: ExperimentConfig, model: Any) -> Iterator[str]:
    """Yield what may help, the most likely first."""
    options = section(config)
    if config.precision == "fp16":
        yield "precision: bf16, because fp16 ends at 65504"
    elif config.precision != "fp32":
        yield "precision: fp32"
    if options.load_in_4bit or options.load_in_8bit:
        yield "weights that are not quantised"
    if options.torch_compile:
        yield "pytorch.torch_compile: false"
    if readings.attention(model) != "eager":
        yield "pytorch.attn_implementation: eager"
    elif config.precision == "fp32":
        yield "another checkpoint of the model"
