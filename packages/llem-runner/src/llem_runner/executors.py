"""How to write an executor: a way to measure the runs of a study, such as on another machine.

    from llem_runner import run_study
    result = run_study("study.yaml", executor=MyExecutor())

Or publish it in the entry-point group `llem.executors` and name it in the setting
`execution.executor`; docs/new-executor.md has a complete example. `measure_task` carries out a `Task`
where it is called.
"""

from llem_runner._control import Control
from llem_runner._executors.inline import InlineExecutor
from llem_runner._executors.local.executor import LocalExecutor
from llem_runner._executors.measure import measure_task
from llem_runner._executors.protocol import (
    Execution,
    Executor,
    Leftovers,
    NoteGiver,
    VariableTaker,
)
from llem_runner._executors.registry import executor_names, find_executor
from llem_runner._executors.task import Measure, OnStage, Task
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome, Reason
from llem_runner._plan.schedule import PlannedRun

__all__ = [
    "Control",
    "Execution",
    "Executor",
    "Failed",
    "Finished",
    "InlineExecutor",
    "Interrupted",
    "Leftovers",
    "LocalExecutor",
    "Measure",
    "NoteGiver",
    "OnStage",
    "Outcome",
    "PlannedRun",
    "Reason",
    "Task",
    "VariableTaker",
    "executor_names",
    "find_executor",
    "measure_task",
]
