"""The words and drawings of the page: plain text by the id of its element.

The page and its script show the same view, so a page without a script is as complete.
"""

from __future__ import annotations

import shlex

import msgspec

from llem_config.text import one_line
from llem_report._watch.drawing import bar, line, top_of, windows
from llem_report._watch.power_trace import Power
from llem_report._watch.study_state import StudyState

_DASH = "\N{EN DASH}"
_MAX_NAME = 120
_NO_READING = "no reading"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page that changes from second to second."""

    texts: dict[str, str]
    """By the id of the element; an empty text hides the element."""
    attributes: dict[str, dict[str, str]]
    """By the id of the element, then by name; numbers and paths only."""
    title: str
    report: int = 0
    """Changes with the part of the page that has the results."""


def view_of(state: StudyState, report: int = 0) -> View:
    """Return the view of a study."""
    manifest = state.manifest
    name = state.folder.name if manifest is None else manifest.study_name
    has_ended = manifest is not None and state.running is False
    texts = {
        "name": one_line(name, _MAX_NAME),
        "folder": one_line(str(state.folder), 500),
        "sentence": one_line(_sentence(state), 1000),
        "problem": one_line(state.problem, 1000) if state.problem else "",
        "time-left": _time_left(state),
        "report-command": _report_command(state) if has_ended else "",
        "results-heading": "Results" if has_ended else "Results so far",
        **_counts(state),
        **_run(state),
        **_power(state),
    }
    is_read = texts["power"] != _NO_READING
    attributes = {
        **_bar(state),
        **_drawing(state.power),
        "now": {"data-idle": "yes" if has_ended and not state.power.trace else "no"},
        "power": {"class": "big" if is_read else "big none"},
    }
    return View(texts=texts, attributes=attributes, title=_title(state, name), report=report)


def duration(seconds: float) -> str:
    """Return a duration in words: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def watts(power_w: float) -> str:
    """Return a power, such as `143 W` or `8.4 W`."""
    return f"{power_w:.0f} W" if power_w >= 99.95 else f"{power_w:.1f} W"


def _sentence(state: StudyState) -> str:
    manifest = state.manifest
    if manifest is None:
        return "The study has not begun its first run." if state.problem is None else "No state."
    if state.running is None:
        why = state.unseen or "no access to its lock file"
        return f"Cannot tell whether the study is running ({why})."
    if state.running:
        if state.run is not None:
            return f"Run {state.run.index} of {len(manifest.entries)} is in progress."
        if state.counts.get("pending"):
            return "Running, but no run in progress: in a gap, or waiting for a GPU."
        return "Running: the last files are being written."
    n_open = len(manifest.entries) - state.counts.get("completed", 0)
    resume = f"`llem-cli study resume {shlex.quote(str(state.folder))}`"
    match manifest.status:
        case "completed":
            return "Completed: all runs have a result."
        case "failed":
            return f"Finished with failed runs. {resume} repeats them."
        case "running":
            return f"Not running: the process of the study was ended. Continue with {resume}."
    return f"Stopped ({manifest.status}) with {n_open} runs to do. Continue with {resume}."


def _report_command(state: StudyState) -> str:
    if not state.counts.get("completed"):
        return ""
    folder = one_line(shlex.quote(str(state.folder)), 500)
    return f"`llem-cli study report {folder}` writes the report with all figures."


def _time_left(state: StudyState) -> str:
    if state.running is False:
        return ""
    if state.left_s is None:
        return "unknown before the first run is completed"
    return f"about {duration(state.left_s)}"


def _counts(state: StudyState) -> dict[str, str]:
    names = ("completed", "failed", "interrupted", "pending")
    if state.manifest is None:
        return dict.fromkeys((*names, "done"), _DASH)
    counts = {name: str(state.counts.get(name, 0)) for name in names}
    return counts | {"done": f"{_n_done(state)} of {len(state.manifest.entries)} runs done"}


def _n_done(state: StudyState) -> int:
    return state.counts.get("completed", 0) + state.counts.get("failed", 0)


def _run(state: StudyState) -> dict[str, str]:
    run = state.run
    if run is None:
        return {"run": "none", "run-point": "", "run-stage": "", "run-elapsed": ""}
    return {
        "run": f"{run.index}, cycle {run.cycle}",
        "run-point": one_line(run.label, _MAX_NAME) or "the only point",
        "run-stage": one_line(run.stage, 40) if run.stage else "not known yet",
        "run-elapsed": "" if run.elapsed_s is None else duration(run.elapsed_s),
    }


def _power(state: StudyState) -> dict[str, str]:
    power = state.power
    in_trace_w = [point.power_w for point in power.trace]
    caption = "No reading in the last 5 minutes."
    if in_trace_w:
        caption = (
            f"Last 5 minutes: {watts(min(in_trace_w))} to {watts(max(in_trace_w))}, mean over each "
            "second, as the run's own meter reads it. Shaded: the measured window."
        )
    is_shown = state.run is not None and power.total_w is not None
    return {
        "power": watts(power.total_w) if is_shown and power.total_w is not None else _NO_READING,
        "power-why": "" if is_shown else _why_no_power(state),
        "power-devices": _devices(power) if state.run is not None else "",
        "power-top": watts(top_of(in_trace_w)) if in_trace_w else "",
        "power-caption": caption,
    }


def _why_no_power(state: StudyState) -> str:
    power = state.power
    if state.run is None:
        return "Power is metered during runs only."
    if power.devices:
        return "A meter does not respond, so there is no total."
    if state.run.stage is None:
        return (
            "The run has not begun to meter, or was started by a version that writes no readings."
        )
    if power.age_s is not None and power.age_s > 0 and power.trace:
        return f"The newest reading is {duration(power.age_s)} old."
    return "This run has no meter that can be read; `llem-cli doctor` says why."


def _devices(power: Power) -> str:
    parts = []
    for device in power.devices[:16]:
        reading = "no reading" if device.power_w is None else watts(device.power_w)
        heat = (
            "" if device.temperature_c is None else f", {device.temperature_c:.0f} \N{DEGREE SIGN}C"
        )
        parts.append(f"{one_line(device.device, 60)}: {reading}{heat}")
    return " \N{MIDDLE DOT} ".join(parts)


def _bar(state: StudyState) -> dict[str, dict[str, str]]:
    names = ("completed", "failed", "interrupted", "running", "pending")
    parts = bar([state.counts.get(name, 0) for name in names])
    return {
        f"bar-{name}": {"x": f"{left:g}", "width": f"{width:g}"}
        for name, (left, width) in zip(names[:-1], parts, strict=False)
    }


def _drawing(power: Power) -> dict[str, dict[str, str]]:
    top_w = top_of([point.power_w for point in power.trace])
    return {
        "power-line": {"d": line(power.trace, top_w)},
        "power-windows": {"d": windows(power.trace)},
    }


def _title(state: StudyState, name: str) -> str:
    done = "" if state.manifest is None else f"{_n_done(state)}/{len(state.manifest.entries)} "
    return f"{done}{one_line(name, 60)} {_DASH} llem"
