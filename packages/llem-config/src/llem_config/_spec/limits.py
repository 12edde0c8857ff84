"""Numbers with a limit far above every real study, so that an absurd value is a mistake in the file.

Without these limits, `n: 10**20` or a gap of 1e308 seconds would be found only while a study runs.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_COUNT = 10_000_000
"""The longest contexts of today's models, in tokens, have this order of magnitude."""
MAX_SECONDS = 31_536_000
"""One year; the timers of an operating system overflow far above it."""

MAX_CYCLES = 100_000
MAX_RUNS = 1_000_000
"""Runs of a study: at one per second, they take eleven days. Each is an entry of the manifest."""

Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
Cycles = Annotated[int, Field(gt=0, le=MAX_CYCLES)]
MeanCount = Annotated[float, Field(gt=0, le=MAX_COUNT)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
Factor = Annotated[float, Field(gt=0, le=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
