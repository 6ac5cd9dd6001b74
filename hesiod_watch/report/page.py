"""From a template and values to one self-contained HTML file.

Every text goes through `formatting.visible` (control and bidi characters written out) and
autoescape, whatever the template says. The page's policy allows nothing but the one style sheet in
it, named by its hash: no script, no request.
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
    """What an expression in a template puts on the page: nothing for None, and only characters that
    can be seen.
    """
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
    """The Content-Security-Policy: nothing at all, but this style sheet and the icon in the page."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


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


def render(template: str, **values: object) -> str:
    """The page. Always encodable as UTF-8."""
    return _environment().get_template(template).render(**values)
