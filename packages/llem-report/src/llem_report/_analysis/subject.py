"""What a study is about, by what it has measured."""

from __future__ import annotations

from llem_report.records import Analysis


def subject_of(analysis: Analysis) -> str | None:
    """Return `energy`, or `speed` if no energy was measured; None if nothing was."""
    return subject(
        energy=any(point.energy_per_output_token_j is not None for point in analysis.points),
        speed=any(point.tokens_per_second is not None for point in analysis.points),
    )


def subject(*, energy: bool, speed: bool) -> str | None:
    """Return the same from what was measured."""
    if energy:
        return "energy"
    return "speed" if speed else None


def of_inference(subject: str | None, *, article: bool = False) -> str:
    """Return the subject of a study in words, such as `energy of LLM inference`.

    Args:
        subject: of `subject_of`.
        article: whether the words are part of a sentence.
    """
    if subject is None:
        return "LLM inference"
    return f"{'the ' if article else ''}{subject} of LLM inference"
