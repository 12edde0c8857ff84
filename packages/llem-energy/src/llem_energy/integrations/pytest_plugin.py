"""The fixture `energy` of pytest: the joules of a test. pytest loads this module by itself.

    @pytest.mark.energy(budget_j=50)      # optional: the test fails if it is shown to use more
    def test_generate(energy):
        model.generate(**inputs)

It is inert until a test requests the fixture: it imports no meter, and opens none.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llem_energy._meter.energy_meter import EnergyMeter
    from llem_energy._meter.energy_window import EnergyWindow
    from llem_energy._meter.window_energy import WindowEnergy

__all__ = ["EnergyOfTest", "energy"]

_PROPERTIES = ("energy_j", "energy_bound_j", "energy_status", "energy_reason")
_REQUIRED = "energy_required"
_MODE = "energy_mode"


class EnergyOfTest:
    """The energy of one test, without its set-up and its tear-down."""

    def __init__(self, meter: EnergyMeter) -> None:
        self.meter = meter
        """For more windows in the test; it is shared by all tests of the session."""
        self._window: EnergyWindow | None = None

    @property
    def so_far(self) -> WindowEnergy:
        """The energy from the start of the test to now; ends the measurement."""
        window = self.stop()
        return window.energy

    def stop(self) -> EnergyWindow:
        """End the measurement before the end of the test, and return its window."""
        assert self._window is not None, "the energy of a test is known once the test runs"
        if self._window.is_open:
            self._window.close()
        return self._window

    def _start(self) -> None:
        self._window = self.meter.window("test").open()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the plug-in."""
    parser.addini(_REQUIRED, "fail tests with a budget if their energy is missing", "bool", False)
    parser.addini(
        _MODE,
        "exact: wait for idle time at both ends of a test; light: do not wait",
        default="exact",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "energy(budget_j): the test may use this much energy, in joules"
    )


@pytest.fixture(scope="session")
def llem_energy_meter(request: pytest.FixtureRequest) -> Iterator[EnergyMeter]:
    """Open one meter for all tests; override it to name the GPUs."""
    from llem_energy import EnergyMeter

    mode = request.config.getini(_MODE)
    with EnergyMeter(mode=mode) as meter:
        yield meter


@pytest.fixture
def energy(llem_energy_meter: EnergyMeter) -> EnergyOfTest:
    """Measure the energy of the test, and report it at the end of the session."""
    return EnergyOfTest(llem_energy_meter)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure a test that requests the fixture."""
    measured = getattr(item, "funcargs", {}).get("energy")
    if not isinstance(measured, EnergyOfTest):
        return (yield)
    measured._start()
    try:
        result = yield
    finally:
        found = measured.so_far
        reason = "; ".join(found.reasons)
        values = (found.total_j, found.bound_j, found.status, reason)
        item.user_properties.extend(
            (name, value)
            for name, value in zip(_PROPERTIES, values, strict=True)
            if value not in (None, "")
        )
    _check_budget(item, found)
    return result


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the energy of every test that was measured."""
    lines = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            values = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") == "call" and "energy_status" in values:
                lines.append(_line(report.nodeid, values))
    if not lines:
        return
    terminalreporter.section("energy")
    for line in lines:
        terminalreporter.write_line(line)
    if config.pluginmanager.hasplugin("dsession"):  # of pytest-xdist
        terminalreporter.write_line(
            "Tests ran at the same time, so the energy of each may contain that of others; run them "
            "with -n 0."
        )


def _check_budget(item: pytest.Item, found: WindowEnergy) -> None:
    marker = item.get_closest_marker("energy")
    if marker is None:
        return
    budget_j = marker.kwargs.get("budget_j", marker.args[0] if marker.args else None)
    if not isinstance(budget_j, int | float) or not budget_j > 0:
        pytest.fail(f"energy: expected budget_j in joules above 0, found {budget_j!r}", False)
    if found.total_j is None:
        if item.config.getini(_REQUIRED):
            pytest.fail(f"the energy is missing: {'; '.join(found.reasons)}", pytrace=False)
        return
    least_j = found.total_j - (found.bound_j or 0.0)
    if least_j > budget_j:
        bound = "" if found.bound_j is None else f" ± {found.bound_j:.2g}"
        pytest.fail(
            f"the test used {found.total_j:.6g}{bound} J, more than its budget of {budget_j:g} J",
            pytrace=False,
        )


def _line(nodeid: str, values: dict[str, Any]) -> str:
    reason = f": {values['energy_reason']}" if "energy_reason" in values else ""
    if "energy_j" not in values:
        return f"missing  {nodeid}{reason}"
    bound = f" ± {values['energy_bound_j']:.2g}" if "energy_bound_j" in values else ""
    return f"{values['energy_j']:.6g}{bound} J, {values['energy_status']}  {nodeid}{reason}"
