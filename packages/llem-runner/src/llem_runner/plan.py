"""What a study will do before it starts: its runs, their order and the gaps between them.

    from llem_runner.plan import schedule
    runs = schedule(study)

Nothing here starts a process or runs anything on a device.
"""

from llem_runner._plan.comparability import MIN_CYCLES, has_constant_order, why_not_comparable
from llem_runner._plan.labels import levels
from llem_runner._plan.schedule import PlannedRun, gap_seconds, schedule
from llem_runner._study.extension_plan import PlannedExtension, plan_extension
from llem_runner._study.forecast import Forecast, forecast
from llem_runner._study.preflight import Expectation, check_data, check_files, expect
from llem_runner._study.preparation import fill_gaps
from llem_runner._study.time_left import time_left_s

__all__ = [
    "MIN_CYCLES",
    "Expectation",
    "Forecast",
    "PlannedExtension",
    "PlannedRun",
    "check_data",
    "check_files",
    "expect",
    "fill_gaps",
    "forecast",
    "gap_seconds",
    "has_constant_order",
    "levels",
    "plan_extension",
    "schedule",
    "time_left_s",
    "why_not_comparable",
]
