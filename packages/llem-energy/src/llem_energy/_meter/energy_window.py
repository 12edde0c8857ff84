"""A window of a meter: code between two instants, and its energy."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from llem_energy._errors import MeasurementError
from llem_energy._meter.step_times import StepTimes
from llem_energy._meter.window_energy import WindowEnergy, missing
from llem_energy._metering.span import WindowSpan

if TYPE_CHECKING:
    from llem_energy._meter.window_ledger import WindowLedger
    from llem_energy._metering.edges import QuietEdge

Mode = Literal["exact", "light"]
"""`exact` waits at both ends of a window until the counter has shown idle power there;
`light` never waits, and its bound is wider."""
_Function = TypeVar("_Function", bound=Callable[..., Any])
_KEPT = 1000  # windows of a decorated function


class EnergyWindow:
    """Code between two instants; use it once, in a `with` or `async with` block.

    As a decorator it measures each call in a window of its own, and the function has the newest
    thousand of them in its attribute `windows`.
    """

    __slots__ = (
        "__weakref__", "_energy", "_ledger", "_meter", "_problems", "_quiet", "_refusal", "_span",
        "_start_s", "_steps", "mode", "name",
    )  # fmt: skip

    def __init__(
        self, ledger: WindowLedger, name: str, mode: Mode, meter: object | None = None
    ) -> None:
        self.name = name
        self.mode = mode
        self._ledger = ledger
        self._meter = meter  # it closes if nothing holds it, such as `EnergyMeter().window()`
        self._start_s: float | None = None
        self._quiet: QuietEdge | None = None
        self._span: WindowSpan | None = None
        self._energy: WindowEnergy | None = None
        self._steps: StepTimes | None = None
        self._refusal: str | None = None  # why it is not metered
        self._problems: list[str] = []  # why its energy is flagged

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not yet closed."""
        return self._start_s is not None and self._span is None

    @property
    def start_s(self) -> float | None:
        """When it was opened, on the clock of `time.perf_counter`; None before."""
        return self._start_s

    @property
    def end_s(self) -> float | None:
        """When it was closed; None before."""
        return None if self._span is None else self._span.end_s

    @property
    def duration_s(self) -> float | None:
        """Seconds between its start and its end; None if it is not closed."""
        return None if self._span is None else self._span.end_s - self._span.start_s

    @property
    def repeated_s(self) -> tuple[float, ...]:
        """Median and mean time between two steps, in seconds; () if fewer than two ended."""
        return () if self._steps is None else self._steps.repeated_s()

    @property
    def energy(self) -> WindowEnergy:
        """The energy of the window.

        In the mode `light`, the first use waits until the counter shows the end of the window, which
        takes up to three of its periods; later use returns at once. It never raises: what could not
        be metered is `missing`, with its reason.
        """
        if self._energy is not None:
            return self._energy
        if self._start_s is None:
            return missing("the window was not opened")
        if self._span is None:
            return missing("the window is still open; close it to get its energy")
        self._energy = self._ledger.energy(self, self._span)
        self._meter = None
        return self._energy

    def step(self) -> None:
        """Note that a step of the work has ended: a token, a batch, an iteration.

        The counter of a GPU may observe the board only part of the time. Steps that keep pace with it
        may then be measured wrongly, and the bound contains that only for noted steps. A
        board that `llem-cli doctor --check-gpu` has cleared needs none.
        """
        if self._steps is None:
            self._steps = StepTimes()
        self._steps.add(time.perf_counter())

    def open(self) -> EnergyWindow:
        """Open it. In the mode `exact` this waits for about half a second.

        Raises:
            MeasurementError: it was opened before.
        """
        if self._start_s is not None:
            raise MeasurementError(
                f"the window {self.name!r} was opened before; make a new one with meter.window()"
            )
        self._ledger.open(self)
        return self

    def close(self) -> EnergyWindow:
        """Close it. In the mode `exact` this waits for about half a second, 3 s at most.

        Raises:
            MeasurementError: it is not open.
        """
        if self._start_s is None or self._span is not None:
            state = "was not opened" if self._start_s is None else "is already closed"
            raise MeasurementError(f"the window {self.name!r} {state}")
        self._ledger.close(self)
        return self

    def __enter__(self) -> EnergyWindow:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_open:  # else closed by hand
            self.close()

    async def __aenter__(self) -> EnergyWindow:
        if self.mode == "exact":
            return await _in_thread(self.open)
        return self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.is_open:
            return
        if self.mode == "exact":
            await _in_thread(self.close)
        else:
            self.close()

    def __call__(self, function: _Function) -> _Function:
        """Return the function with each call in a window of its own.

        Raises:
            MeasurementError: it is a generator, whose call does no work.
        """
        import inspect

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise MeasurementError(
                f"expected a function, found the generator {function.__name__!r}, which works only "
                "while it is read; put what reads it in a `with` block"
            )
        windows: deque[EnergyWindow] = deque(maxlen=_KEPT)
        ledger, name, mode, meter = self._ledger, self.name, self.mode, self._meter

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with EnergyWindow(ledger, name, mode, meter) as window:
                windows.append(window)
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def measured_async(*args: Any, **kwargs: Any) -> Any:
            async with EnergyWindow(ledger, name, mode, meter) as window:
                windows.append(window)
                return await function(*args, **kwargs)

        chosen: Any = measured_async if inspect.iscoroutinefunction(function) else measured
        chosen.windows = windows
        return cast("_Function", chosen)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "new" if self._start_s is None else "closed"
        return f"<EnergyWindow {self.name!r}, {state}>"


async def _in_thread(wait: Callable[[], EnergyWindow]) -> EnergyWindow:
    """Wait without stopping the other tasks."""
    import asyncio  # takes as long as the rest of this package

    return await asyncio.to_thread(wait)
