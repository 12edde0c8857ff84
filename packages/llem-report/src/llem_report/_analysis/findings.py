"""The finding of a study as one sentence, and how it was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_report._analysis.study_ranking import StudyRanking
from llem_report._analysis.wording import interval_words, listed, number
from llem_report._ranking.contrasts import ErrorModel, Kind
from llem_report._study_data.study_data import FigureInfo
from llem_report.records import FactorEffect
from llem_runner.compared_values import ComparedValues
from llem_runner.repeats import MAX_SAID

_ERRORS: dict[Kind, str] = {
    "pooled": "The error is the pooled spread of the runs within cycles, with {df} degrees of "
    "freedom; a test found no level that spreads more than the others.",
    "per point": "Some levels spread more than others, so each point has the error of its own "
    "runs, and degrees of freedom by Satterthwaite; the study has {df}.",
    "interactions": "There is one run of each point, so the error is what main effects and two-way "
    "interactions leave unexplained, with {df} degrees of freedom.",
}


def finding(figure: FigureInfo, factors: Sequence[FactorEffect], reason: str | None) -> str:
    """Return one sentence that says which choice matters most, or why that cannot be told.

    Args:
        figure: of merit.
        factors: the largest effect first.
        reason: why there is no ranking.
    """
    if reason is not None:
        return f"Which choice matters most cannot be told: {reason}."
    known = [factor for factor in factors if factor.effect is not None]
    if not known:
        return f"Which choice matters most cannot be told: {factors[0].reason}."
    limit = " of those that can be compared" if len(known) < len(factors) else ""
    if not any(factor.verdict == "matters" for factor in known):
        most = max(f.effect.ci95_high or 1.0 for f in known if f.effect is not None)
        reach = (
            f"is at most x {number(most, 3)}"
            if most <= MAX_SAID
            else "may still be x 1,000 or more"
        )
        return f"No choice{limit} was found to matter: any effect on the {figure.title} {reach}."
    first = [factor for factor in known if factor.rank_low == 1]
    if len(first) > 1:
        keys = listed([factor.key for factor in first])
        return f"{keys} cannot be told apart in first place{limit}."
    return _first(figure, first[0], limit)


def _first(figure: FigureInfo, factor: FactorEffect, limit: str) -> str:
    assert factor.effect is not None  # it has a rank
    ratio, interval = number(factor.effect.ratio, 2), interval_words(factor.effect)
    if figure.lower_is_better:
        text = f"at {factor.worst}, the {figure.title} is {ratio} times that at {factor.best}{interval}"
    else:
        text = f"at {factor.best}, the {figure.title} are {ratio} times those at {factor.worst}{interval}"
    return f"{factor.key} matters most{limit}: {text}, everything else equal."


def method(study: StudyRanking | None, compared: ComparedValues | None) -> str:
    """Return how the ratios and their errors were found, in sentences.

    Args:
        study: the ranking; None if there is none.
        compared: the points beside the best one; None if only the ranking compares them.
    """
    return " ".join(_method(study, compared))


def _method(study: StudyRanking | None, compared: ComparedValues | None) -> Iterator[str]:
    if study is None:
        yield "Nothing was ranked." if compared else "Nothing was compared."
    else:
        yield from _of_ranking(study)
    if compared is not None and not (study and study.is_of_points):
        yield (
            "For the ratios of points to the best one, points are grouped by the spread of their runs, and "
            "the intervals of all pairs of points hold at once."
        )


def _of_ranking(study: StudyRanking) -> Iterator[str]:
    ranking = study.ranking
    yield (
        "Each figure of a point has a 95 % interval of its own: the intervals of several figures are "
        "not adjusted to hold at once. "
        "The logarithm of the figure is fitted as point + cycle by least squares, with incomplete "
        "cycles included. Two levels of a choice are compared in the combinations of all other "
        "choices that have both, and averaged over these with equal weight."
    )
    if ranking.errors is None:
        yield "There are no intervals."
        return
    yield _intervals(study, ranking.errors)
    yield (
        "The effect of a choice is the largest ratio of two of its levels, with the largest lower "
        "and the largest upper end of all its pairs. One choice is ranked above another only if "
        "its whole interval is."
    )
    if not study.is_of_points:
        yield (
            "A choice can matter although two points that differ in it alone cannot be told apart: its "
            "effect is an average over combinations, and there are more pairs of points, so that their intervals "
            "are wider."
        )
    if not isinstance(ranking.shares, str):
        yield (
            "Shares are sums of squares (type II) of the point means with the noise taken off: the "
            "main effect of a choice and half of its two-way interactions."
        )


def _intervals(study: StudyRanking, errors: ErrorModel) -> str:
    share = f"in {100 * (1 - study.alpha):.4g} % of studies"
    if study.is_of_points:
        return (
            "The levels of the only choice are points. Their intervals are those of pairs of points: points "
            f"are grouped by the spread of their runs. The intervals hold all at once {share}."
        )
    n_pairs = sum(len(pairs.a) for pairs in study.ranking.pairs)
    error = _ERRORS[errors.kind].format(df=errors.df)
    if n_pairs == 1:
        return f"{error} The interval of the only pair of levels holds {share}."
    return f"{error} The intervals of {n_pairs} pairs of levels hold all at once {share} (Sidak)."
