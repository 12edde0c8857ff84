"""The methods of a study for LaTeX: the paragraph, and a table with the rules of booktabs."""

from __future__ import annotations

from llem_report._figures.scales import visible_text
from llem_report._methods.records import Methods
from llem_report._page.latex import latex


def methods_tex(methods: Methods) -> str:
    """Return the paragraph, what must be admitted, and a `tabular`, in which no text is a command."""
    lines = [
        f"% {visible_text(methods.study_name)}, design {methods.study_design_hash}; needs booktabs",
        latex(methods.paragraph),
        "",
    ]
    if methods.admissions:
        lines += ["\\begin{itemize}"]
        lines += [f"\\item {latex(sentence)}" for sentence in methods.admissions]
        lines += ["\\end{itemize}", ""]
    lines += ["\\begin{tabular}{lp{0.7\\linewidth}}", "\\toprule"]
    for row in methods.rows:
        lines.append(f"{latex(row.name)} & {latex('; '.join(row.values))} \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join(lines) + "\n"
