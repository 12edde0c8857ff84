"""Importances of the factors of a study by other tools; runs where they are installed.

Reads a task as JSON from stdin and prints the answer as JSON. The runs of a study are given to
Optuna as trials of categorical parameters.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import optuna
import pandas
import statsmodels.api
import statsmodels.formula.api
from optuna.distributions import CategoricalDistribution
from optuna.importance import (
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from sklearn.ensemble import RandomForestRegressor

Importance = Callable[[Any, Any], list[float]]


def by_optuna(evaluator: Any) -> Importance:
    """Return a function for the importances by an evaluator of Optuna."""

    def importances(levels: Any, values: Any) -> list[float]:
        n_factors = levels.shape[1]
        distributions = {
            f"f{f}": CategoricalDistribution([int(x) for x in np.unique(levels[:, f])])
            for f in range(n_factors)
        }
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={f"f{f}": int(row[f]) for f in range(n_factors)},
                    distributions=distributions,
                    value=float(value),
                )
                for row, value in zip(levels, values, strict=True)
            ]
        )
        found = get_param_importances(study, evaluator=evaluator())
        return [float(found.get(f"f{f}", 0.0)) for f in range(n_factors)]

    return importances


def one_hot(levels: Any) -> tuple[Any, list[int]]:
    """Return one column for each level of each factor, and the factor of each column."""
    columns, factors = [], []
    for f in range(levels.shape[1]):
        for level in np.unique(levels[:, f]):
            columns.append((levels[:, f] == level).astype(float))
            factors.append(f)
    return np.column_stack(columns), factors


def by_forest(levels: Any, values: Any) -> list[float]:
    """Return the importances of a random forest, summed over the levels."""
    columns, factors = one_hot(levels)
    forest = RandomForestRegressor(n_estimators=100, random_state=0).fit(columns, values)
    sums = np.bincount(factors, weights=forest.feature_importances_)
    return [float(x) for x in sums]


def by_correlation(levels: Any, values: Any) -> list[float]:
    """Return the absolute correlation of each factor's level number with the value."""
    return [float(abs(np.corrcoef(levels[:, f], values)[0, 1])) for f in range(levels.shape[1])]


def anova(levels: Any, values: Any) -> dict[str, float]:
    """Return the type II sums of squares of main effects and two-way interactions."""
    names = "abcdefghijkl"[: levels.shape[1]]
    table = pandas.DataFrame(levels, columns=list(names)).astype(str)
    table["value"] = values
    model = statsmodels.formula.api.ols(f"value ~ ({' + '.join(names)})**2", table).fit()
    squares = statsmodels.api.stats.anova_lm(model, typ=2)["sum_sq"]
    return {str(name): float(square) for name, square in squares.items()}


def by_anova(levels: Any, values: Any) -> list[float]:
    """Return the type II sum of squares of each main effect."""
    squares = anova(levels, values)
    return [squares[name] for name in "abcdefghijkl"[: levels.shape[1]]]


def by_shapley(levels: Any, values: Any) -> list[float]:
    """Return the Shapley shares of the variance of group means (as LMG, by groups)."""
    n = levels.shape[1]

    def explained(factors: tuple[int, ...]) -> float:
        if not factors:
            return 0.0
        groups = np.unique(levels[:, factors], axis=0, return_inverse=True)[1].reshape(-1)
        means = np.bincount(groups, weights=values) / np.bincount(groups)
        return float(np.var(means[groups]))

    shares = []
    for f in range(n):
        others = [g for g in range(n) if g != f]
        share = 0.0
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for some in combinations(others, size):
                share += weight * (explained((*some, f)) - explained(some))
        shares.append(share)
    return shares


TOOLS: dict[str, Importance] = {
    "Optuna fANOVA": by_optuna(lambda: FanovaImportanceEvaluator(seed=0)),
    "Optuna MDI": by_optuna(lambda: MeanDecreaseImpurityImportanceEvaluator(seed=0)),
    "Optuna PED-ANOVA": by_optuna(PedAnovaImportanceEvaluator),
    "random forest": by_forest,
    "absolute correlation": by_correlation,
    "ANOVA type II": by_anova,
    "Shapley (LMG kind)": by_shapley,
}


def main() -> None:
    """Answer the task."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = json.load(sys.stdin)
    rankings = []
    for study in task.get("rankings", []):
        levels, values = np.array(study["levels"]), np.array(study["values"])
        answer = {}
        for name, importance in TOOLS.items():
            start = time.process_time()
            found = importance(levels, values)
            answer[name] = (found, time.process_time() - start)
        rankings.append(answer)
    squares = [
        anova(np.array(study["levels"]), np.array(study["values"]))
        for study in task.get("squares", [])
    ]
    print(json.dumps({"rankings": rankings, "squares": squares}))


if __name__ == "__main__":
    main()
