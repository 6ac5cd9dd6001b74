"""Render a template and values to one self-contained HTML file.

Every text passes `formatting.visible` (escapes control and bidi characters) and autoescape,
whatever the template contains. The page's policy allows only the page's own style sheet, by its
hash, and an inline icon: no script, no request.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hesiod_watch.core.text import number_of
from hesiod_watch.report import formatting


def _printable(value: object) -> object:
    """Value of a template expression as printed: None prints nothing, text is made visible."""
    if value is None:
        return ""
    return (
        formatting.visible(value)
        if isinstance(value, str) and not isinstance(value, Markup)
        else value
    )


@cache
def _style() -> str:
    return files("hesiod_watch.report").joinpath("static/report.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    """Content-Security-Policy that allows this style sheet and the icon in the page only."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hesiod_watch.report"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (
        formatting.name,
        formatting.href,
        formatting.url,
        formatting.reads,
        formatting.sentence,
        formatting.bases,
        formatting.share,
        formatting.quality,
        formatting.size,
        formatting.exact,
        formatting.hours,
        formatting.moment,
        number_of,
    ):
        environment.filters[filter_.__name__] = filter_
    environment.globals["style"] = Markup(_style())  # noqa: S704 - our own file
    environment.globals["policy"] = _policy()
    return environment


def compile_templates() -> None:
    """Compile every template now, so that forks of this process need not."""
    for name in _environment().list_templates(extensions=["html"]):
        _environment().get_template(name)


def render(template: str, **values: object) -> str:
    """Render the page. The result can always be encoded as UTF-8."""
    return _environment().get_template(template).render(**values)
