"""Write a backend: the protocols and the values that it exchanges with `measure`.

    from llem_energy.backends import Backend, Batch, Workload

docs/backend.md explains each method; `llem_energy.testing` checks an implementation.
"""

from llem_energy._backends.facts import BackendFacts, DeviceChoice
from llem_energy._backends.first_study import FirstStudy
from llem_energy._backends.protocol import (
    Backend,
    Batch,
    ChecksLogits,
    ClearsPrefixCache,
    Generation,
    Memory,
    Phase,
    RendersChats,
    ReportsCachedTokens,
    ReportsPadding,
    ReportsTokensAfterEnd,
    ScoresText,
    TextScore,
    Workload,
)
from llem_energy._backends.registry import backend_names, facts_of, preload
from llem_energy._backends.roofline import (
    MeasuresPeaks,
    PeakConditions,
    Peaks,
    ReportsTraffic,
)
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.loaded_parts import LoadedParts
from llem_energy._model_info.memory_estimate import MemoryLayout
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.traffic import Traffic
from llem_energy._prompts.prompt import Chat, ChatProblem, ChatTemplate, Prompt, RenderedChats

__all__ = [
    "Backend",
    "BackendFacts",
    "Batch",
    "Chat",
    "ChatProblem",
    "ChatTemplate",
    "ChecksLogits",
    "ClearsPrefixCache",
    "DeviceChoice",
    "FirstStudy",
    "Flops",
    "Generation",
    "LoadedParts",
    "MeasuresPeaks",
    "Memory",
    "MemoryLayout",
    "ModelRef",
    "PeakConditions",
    "Peaks",
    "Phase",
    "Prompt",
    "RenderedChats",
    "RendersChats",
    "ReportsCachedTokens",
    "ReportsPadding",
    "ReportsTokensAfterEnd",
    "ReportsTraffic",
    "ScoresText",
    "TextScore",
    "Traffic",
    "Workload",
    "backend_names",
    "facts_of",
    "preload",
]
