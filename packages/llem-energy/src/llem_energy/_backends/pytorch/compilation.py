"""Compilation by torch: reset for each model, counted, and an error if torch would give up.

The warm-up (`_measurement/warm_up.py`) repeats the work until the count no longer rises.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
import torch._dynamo

from llem_config import PyTorchConfig
from llem_energy._backends.pytorch.loading import generating_model

_RECOMPILE_LIMIT = 64  # batches of several shapes soon reach torch's default of 8


class Compilations:
    """Counts the compilations of torch in this process until it is closed."""

    def __init__(self) -> None:
        self.count = 0
        self._settings = ExitStack()
        torch._dynamo.on_compile_start(self._count_one)

    def _count_one(self, arguments: Any) -> None:
        del arguments
        self.count += 1

    def compile(self, model: Any, options: PyTorchConfig) -> None:
        """Have the model's forward compiled when it is first called."""
        # Compilations of an earlier model in this process would count towards the same limit.
        torch.compiler.reset()
        torch._dynamo.on_compile_start(self._count_one)  # the reset removed it
        # At its limit, torch would run uncompiled code and only log it.
        self._settings.enter_context(
            torch._dynamo.config.patch(
                fail_on_recompile_limit_hit=True, recompile_limit=_RECOMPILE_LIMIT
            )
        )
        running = generating_model(model)
        running.forward = torch.compile(
            running.forward,
            mode=options.torch_compile_mode,
            backend=options.torch_compile_backend or "inductor",
        )

    def close(self) -> None:
        """Stop counting and restore the settings of torch; safe to call twice."""
        self._settings.close()
        handler = torch._dynamo.callback.callback_handler
        if self._count_one in handler.start_callbacks:
            handler.remove_start_callback(self._count_one)


def is_compiled(model: Any) -> bool:
    """Return whether the model runs compiled code, on request or by the library's own choice.

    With a static cache on a GPU, transformers compiles all steps after the first without a request.
    """
    running = generating_model(model)
    return hasattr(running.forward, "_torchdynamo_orig_callable") or hasattr(
        running, "_compiled_call"
    )


def compiler_options(model: Any) -> dict[str, bool] | None:
    """Return the settings of inductor that a mode changes; None for other compilers."""
    read = getattr(generating_model(model).forward, "get_compiler_config", None)
    options = read() if read is not None else None
    if options is None:
        return None
    return {
        "max_autotune": bool(options["max_autotune"]),
        "cudagraphs": bool(options["triton.cudagraphs"]),
    }
