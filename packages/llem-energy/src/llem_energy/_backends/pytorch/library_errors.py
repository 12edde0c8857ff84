"""Errors of torch and its libraries become ours, with a message of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch._dynamo

from llem_energy._errors import BackendError, MeasurementError, OutOfMemory

_MAX_CHARACTERS = 400  # of a library's message; some list every class that it has


@contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Turn errors of torch and its libraries into BackendError or OutOfMemory."""
    try:
        yield
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        n_max = torch._dynamo.config.recompile_limit
        raise BackendError(
            f"{what}: the model was compiled {n_max} times already, for different shapes of batches, "
            "and torch would continue with uncompiled code"
        ) from error
    except MeasurementError:
        raise
    except (
        Exception
    ) as error:  # the libraries raise errors of every type, also of none of their own
        kind = OutOfMemory if _is_out_of_memory(error) else BackendError
        raise kind(f"{what}: {first_paragraph(error)}") from error


def _is_out_of_memory(error: BaseException) -> bool:
    # The CPU allocator of torch has no error type of its own.
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def first_paragraph(error: BaseException) -> str:
    """Return the first paragraph of a library's message as one line, without lists of names."""
    line = " ".join(str(error).partition("\n\n")[0].split()) or type(error).__name__
    return line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS].rstrip()} ..."
