"""The keys of a study file that belong to the study as a whole, and what each of them means."""

from __future__ import annotations

STUDY_KEY_DESCRIPTIONS: dict[str, str] = {
    "name": "Name of the study, with which the names of its folders begin; the name of the file by "
    "default. Letters, digits, `.`, `_` and `-`.\n\nEnergy: none.",
    "base": "A file with fields of experiments that all points start from; the study file overrides "
    "them. The path counts from the study file.\n\nEnergy: none.",
    "sweep": "The axes of a grid: each is a field with a list of values, or the name of a group with a "
    "list of alternatives that set several fields together. All combinations are points.",
    "experiments": "A list of points, each with the fields in which it differs from the top level. "
    "With a `sweep` they are further points, measured after it.",
    "exclude": "A list of rules, each with values of fields: a point of the sweep that has all values "
    "of a rule is left out.",
    "execution": "How often, in which order and with which gaps the points run. It does not change "
    "what a point is, so it is part of no hash.",
    "max_experiments": "Maximum number of points; 10000 by default. A sweep with more is refused.\n\n"
    "Energy: none.",
}
