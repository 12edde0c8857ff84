"""Compilation by torch: begun afresh for each model, counted, and never given up in silence."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
import torch._dynamo

from llem_config import PyTorchConfig
from llem_energy._backends.pytorch.loading import generating_model

_RECOMPILE_LIMIT = 64  # torch's own 8 is soon reached by batches of several shapes


class Compilations:
    """Counts what torch compiles in this process, from when it is made until it is closed."""

    def __init__(self) -> None:
        self.count = 0
        self._settings = ExitStack()
        torch._dynamo.on_compile_start(self._begun)

    def _begun(self, arguments: Any) -> None:
        del arguments
        self.count += 1

    def compile(self, model: Any, own: PyTorchConfig) -> None:
        """Have the model's forward compiled when it is first called."""
        # What an earlier model of this process has compiled counts against the same limit.
        torch.compiler.reset()
        torch._dynamo.on_compile_start(self._begun)  # forgotten with the rest
        # At its limit torch would go on with the uncompiled code and only log it.
        self._settings.enter_context(
            torch._dynamo.config.patch(
                fail_on_recompile_limit_hit=True, recompile_limit=_RECOMPILE_LIMIT
            )
        )
        running = generating_model(model)
        running.forward = torch.compile(
            running.forward,
            mode=own.torch_compile_mode,
            backend=own.torch_compile_backend or "inductor",
        )

    def close(self) -> None:
        """Stop counting and leave torch as it was; safe to call twice."""
        self._settings.close()
        handler = torch._dynamo.callback.callback_handler
        if self._begun in handler.start_callbacks:
            handler.remove_start_callback(self._begun)


def is_compiled(model: Any) -> bool:
    """Tell whether calls of the model run compiled code, asked for or by the library itself.

    With a static cache on a GPU, transformers compiles every step after the first by itself.
    """
    running = generating_model(model)
    return hasattr(running.forward, "_torchdynamo_orig_callable") or hasattr(
        running, "_compiled_call"
    )


def compiler_options(model: Any) -> dict[str, bool] | None:
    """Return what a mode switches in inductor, read back from it; None for other compilers."""
    read = getattr(generating_model(model).forward, "get_compiler_config", None)
    options = read() if read is not None else None
    if options is None:
        return None
    return {
        "max_autotune": bool(options["max_autotune"]),
        "cudagraphs": bool(options["triton.cudagraphs"]),
    }
