"""The page of a running study: complete as it is, and kept up to date by its script."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from llem_report._figures.theme import DARK, LIGHT, css_variables
from llem_report._page.html import alignment, text
from llem_report._watch.drawing import HEIGHT, WIDTH
from llem_report._watch.view import View

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded but the page's own script and style, and nothing is sent anywhere else."""
_LIGHT_ONLY = "--link:#0060a0;--tint:#f5f6f8;--done:#0072b2;--shade:#0072b21f;"
_DARK_ONLY = "--link:#7cc0ee;--tint:#1d2127;--done:#4aa8e0;--shade:#4aa8e026;"
_BAR = ("completed", "failed", "interrupted", "running")


def watch_html(view: View, results: str) -> str:
    """Return the page.

    Args:
        view: everything that changes from second to second.
        results: the part with the results, as HTML.
    """
    return (
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        '<meta name=viewport content="width=device-width,initial-scale=1">\n'
        '<link rel=icon href="data:,">\n<link rel=stylesheet href=watch.css>\n'
        "<noscript><meta http-equiv=refresh content=2></noscript>\n"
        f"<title>{text(view.title)}</title>\n<script src=watch.js defer></script>\n</head>\n"
        "<body>\n<main class=page>\n"
        f"{_header(view)}{_progress(view)}{_power(view)}"
        f"<section aria-labelledby=results-heading>\n{_slot('h2', 'results-heading', view)}\n"
        f"<div id=results data-report={view.report}>\n{results}</div>\n"
        f"{_slot('p', 'report-command', view, 'class=quiet')}\n</section>\n"
        "<footer><p class=quiet>This page shows the folder "
        f"{_slot('span', 'folder', view)}. It changes nothing there, and it is served to this "
        "machine only, by <code>llem-cli study watch</code>.</p></footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def style() -> str:
    """Return the style sheet."""
    light, dark = css_variables(LIGHT) + _LIGHT_ONLY, css_variables(DARK) + _DARK_ONLY
    return (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        + _resource("watch.css")
        + alignment()
    )


def script() -> str:
    """Return the script."""
    return _resource("watch.js")


def _header(view: View) -> str:
    return (
        "<header>\n<p class=kind>A study of LLM inference</p>\n"
        f"{_slot('h1', 'name', view)}\n{_slot('p', 'sentence', view, 'class=finding aria-live=polite')}\n"
        f"{_slot('p', 'problem', view, 'class=alarm role=alert')}\n"
        "<p id=connection class=alarm role=alert hidden></p>\n</header>\n"
    )


def _progress(view: View) -> str:
    parts = "".join(
        f'<rect id="bar-{name}" y=0 height=14{_attributes(f"bar-{name}", view)} />' for name in _BAR
    )
    counts = "".join(
        f'<div><dt class="key {name}">{name}</dt>{_slot("dd", name, view)}</div>'
        for name in ("completed", "failed", "interrupted", "pending")
    )
    return (
        "<section aria-labelledby=done>\n"
        f"<div class=line>{_slot('h2', 'done', view)}"
        f"<p class=left>time left: {_slot('span', 'time-left', view)}</p></div>\n"
        '<svg class=bar viewBox="0 0 1000 14" preserveAspectRatio=none aria-hidden=true>'
        f"<rect class=track width=1000 height=14 />{parts}</svg>\n"
        f"<dl class=counts>{counts}</dl>\n</section>\n"
    )


def _power(view: View) -> str:
    return (
        f"<section id=now class=now{_attributes('now', view)}>"
        "\n<div class=run>\n<h2>Current run</h2>\n<dl>"
        f"<dt>run</dt>{_slot('dd', 'run', view)}"
        f"<dt>point</dt>{_slot('dd', 'run-point', view)}"
        f"<dt>stage</dt>{_slot('dd', 'run-stage', view)}"
        f"<dt>time</dt>{_slot('dd', 'run-elapsed', view)}</dl>\n</div>\n"
        f"<div class=meter>\n<h2>Power</h2>\n{_slot('p', 'power', view, _attributes('power', view))}\n"
        f"{_slot('p', 'power-why', view, 'class=quiet')}\n"
        f"{_slot('p', 'power-devices', view, 'class=quiet')}\n</div>\n"
        "<figure>\n<div class=plot>\n"
        f"{_slot('span', 'power-top', view, 'class=top')}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio=none role=img '
        "aria-labelledby=power-caption>"
        f"<path id=power-windows{_attributes('power-windows', view)} />"
        f'<path class=grid d="M0 .5H{WIDTH}M0 {HEIGHT / 2:g}H{WIDTH}M0 {HEIGHT - 0.5:g}H{WIDTH}" />'
        f"<path id=power-line{_attributes('power-line', view)} /></svg>\n"
        "<span class=past>5 min ago</span><span class=present>now</span>\n</div>\n"
        f"{_slot('figcaption', 'power-caption', view)}\n</figure>\n</section>\n"
    )


def _slot(tag: str, name: str, view: View, attributes: str = "") -> str:
    """Return an element whose text the script replaces; it is hidden while the text is empty."""
    content = view.texts[name]
    hidden = "" if content else " hidden"
    return (
        f"<{tag} id={name}{' ' if attributes else ''}{attributes}{hidden}>{text(content)}</{tag}>"
    )


def _attributes(name: str, view: View) -> str:
    return "".join(f' {key}="{escape(value)}"' for key, value in view.attributes[name].items())


def _resource(name: str) -> str:
    return files("llem_report._watch").joinpath(name).read_text(encoding="utf-8")
