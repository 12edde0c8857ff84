"""The live lines at the bottom of a terminal: what happens now, and a bar of completed runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn

from llem_cli._display.console import plain_text


class StatusBar(Progress):
    """A status above a progress bar; a disabled one shows nothing.

    A live status is drawn every second. All else is drawn only when something changes, because
    drawing during a measured window would be part of the measurement.
    """

    def __init__(self, console: Console, *, disable: bool) -> None:
        self._status: Callable[[], Sequence[str]] = tuple  # before rich draws for the first time
        super().__init__(
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} runs{task.fields[time_left]}", markup=False),
            console=console,
            disable=disable,
        )
        self.live = self._new_live(every_second=False)
        self._task = self.add_task("", total=None, visible=False, time_left="")

    def show_status(self, *lines: str) -> None:
        """Draw a status once."""
        self._draw(lambda: lines, every_second=False)

    def show_live_status(self, status: Callable[[], Sequence[str]]) -> None:
        """Draw the lines of a status now and every second, until the next `show_status`."""
        self._draw(status, every_second=True)

    def show_count(self, n_done: int, n_runs: int, time_left: object) -> None:
        """Draw the bar, with the time left in words, such as `, about 45 s left`.

        Args:
            n_done: runs that are done.
            n_runs: all runs.
            time_left: is formatted whenever the bar is drawn.
        """
        self.update(self._task, completed=n_done, total=n_runs, visible=True, time_left=time_left)
        self.refresh()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield what to draw; rich calls this."""
        yield from (plain_text(line) for line in self._status())
        yield from super().get_renderables()

    def _draw(self, status: Callable[[], Sequence[str]], *, every_second: bool) -> None:
        self._status = status
        if every_second == self.live.auto_refresh or not self.live.is_started:
            self.refresh()
            return
        self.stop()  # rich decides for each display whether a timer draws it
        self.live = self._new_live(every_second=every_second)
        self.start()

    def _new_live(self, *, every_second: bool) -> Live:
        return Live(
            console=self.console,
            auto_refresh=every_second,
            refresh_per_second=1,
            transient=True,
            redirect_stdout=False,  # results must not go to stderr
            get_renderable=self.get_renderable,
        )
