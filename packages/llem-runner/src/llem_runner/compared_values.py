"""The points of a study compared by any figure, as `study_result.json` compares the headline figure."""

from llem_runner._analysis.value_comparison import ComparedValues, RatioInterval, compare_values

__all__ = ["ComparedValues", "RatioInterval", "compare_values"]
