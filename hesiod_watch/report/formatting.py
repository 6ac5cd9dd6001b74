"""Text and safe markup for numbers, names, times and links in a page. Pure.

Some functions return plain `str` (titles of bars, descriptions). Others return `Markup` for a page:
it shows the short form and has the exact value in the element's `value` and `title`.

Texts from disk are hostile. Only `visible` makes control and bidi characters visible. The pages
apply it to every text that they print, so that no caller can forget it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from markupsafe import Markup, escape

from hesiod_watch.core.naming import display
from hesiod_watch.core.text import exact_span_text

UNKNOWN = "\N{EN DASH}"

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_EXACT_BELOW = 10_000  # reads: smaller numbers are shown with every digit


def visible(text: str) -> str:
    """Text with every invisible or reordering character escaped as in `naming.display`.

    A backslash stays single, unlike in `naming.display`: names in sentences are already escaped,
    and a second call must change nothing. The result can always be encoded as UTF-8.
    """
    if text.isascii() and text.isprintable():  # most texts of a page
        return text
    return "\\".join(map(display, text.split("\\")))


def name(text: str) -> Markup:
    """Markup of a name from disk, isolated from the text around it; escapes are marked."""
    if visible(text) == text:
        return Markup(f'<bdi class="name">{escape(text)}</bdi>')  # noqa: S704 - escaped
    parts = [
        escape(character)
        if (shown := visible(character)) == character
        else Markup('<span class="odd">%s</span>') % (shown,)
        for character in text
    ]
    return Markup('<bdi class="name">%s</bdi>') % (Markup("").join(parts),)


def href(path: str) -> str:
    """Target of a link to a path as on disk, percent-encoded.

    The result is always a path on the page's own host: a colon is encoded, so there is no scheme
    (`javascript:`), and several leading slashes become one, so there is no other host
    (`//example`).
    """
    return _local(quote(path.encode("utf-8", "surrogateescape"), safe="/~"))


def url(relative: str) -> str:
    """Target of a link to a relative URL, local as in `href`.

    Encoded characters stay; characters that need encoding are encoded.
    """
    return _local(quote(relative.encode("utf-8", "surrogateescape"), safe="/~%"))


def _local(encoded: str) -> str:
    return "/" + encoded.lstrip("/") if encoded.startswith("/") else encoded


def scaled(value: float) -> tuple[str, str]:
    """Three significant digits and the decimal prefix.

    1234567 is ("1.23", "M"), 999.6 is ("1.00", "k").
    """
    # From this limit on, three digits would round up to the next prefix's 1.00.
    factor, prefix = next(
        (scale for scale in _SCALES if abs(value) >= 0.9995 * scale[0]), _SCALES[-1]
    )
    number = value / factor
    if factor == 1.0 and float(value).is_integer():
        return f"{value:.0f}", prefix
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}", prefix


def bases_text(value: float) -> str:
    """Number of bases as text: "12.3 Gb"; below a thousand "845 b"."""
    number, prefix = scaled(value)
    return f"{number} {prefix}b"


def reads_text(value: float) -> str:
    """Number of reads as text: "9,999", "12.3 k", "2.31 M"."""
    if value < _EXACT_BELOW:
        return f"{value:,.0f}"
    number, prefix = scaled(value)
    return f"{number} {prefix}"


def share_text(fraction: float) -> str:
    """Fraction as a percentage that never rounds up to 100 % or down to 0 %."""
    percent = 100 * fraction
    if 0 < percent < 0.01:
        return "<0.01 %"
    if 0 < percent < 0.095:
        return f"{percent:.2f} %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    return "100 %" if percent == 100 else f"{percent:.1f} %"


def quality_text(value: float) -> str:
    """Quality, in Phred, with one decimal."""
    return f"{value:.1f}"


def exact_text(value: float, unit: str) -> str:
    """Exact number with its unit: "5,420,000 reads"; four decimals if it is not an integer."""
    return f"{value:,.0f} {unit}" if float(value).is_integer() else f"{value:,.4f} {unit}"


def size_text(value: float) -> str:
    """Number of bytes as text, in powers of ten as disk makers count: "1.20 GB"."""
    number, prefix = scaled(value)
    return f"{number} {prefix}B"


def number(short: str, exact: float, unit: str) -> Markup:
    """Markup of a short number with its exact value, for programs and in a tooltip (`title`)."""
    title = escape(exact_text(exact, unit))
    return Markup(  # noqa: S704 - escaped; `%` of Markup takes three times as long
        f'<data class="num" value="{escape(exact)}" title="{title}">{escape(short)}</data>'
    )


def unknown() -> Markup:
    """Placeholder for an unknown number."""
    return Markup('<span class="unknown" title="not known">%s</span>') % (UNKNOWN,)


def reads(value: float | None) -> Markup:
    return unknown() if value is None else number(reads_text(value), value, "reads")


def bases(value: float | None) -> Markup:
    return unknown() if value is None else number(bases_text(value), value, "bases")


def share(fraction: float | None) -> Markup:
    return (
        unknown() if fraction is None else number(share_text(fraction), round(fraction, 8), "of 1")
    )


def quality(value: float | None) -> Markup:
    return unknown() if value is None else number(quality_text(value), round(value, 4), "(Phred)")


def size(value: float | None) -> Markup:
    return unknown() if value is None else number(size_text(value), value, "bytes")


def exact(value: float | None, digits: int = 0) -> Markup:
    """Every digit, grouped by thousands."""
    return (
        unknown()
        if value is None
        else Markup('<span class="num">%s</span>') % (f"{value:,.{digits}f}",)
    )


def hours(seconds: float | None) -> Markup:
    if seconds is None:
        return unknown()
    return number(exact_span_text(seconds), round(seconds), "seconds")


def parse_moment(text: str) -> datetime | None:
    """Parse a time as MinKNOW or this program writes it; None if it is not a time."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def between(start: str, stop: str) -> timedelta | None:
    """Time from `start` to `stop`.

    None if either is not a time, if they cannot be compared, or if `stop` is earlier.
    """
    first, second = parse_moment(start), parse_moment(stop)
    if (
        first is None
        or second is None
        or (first.tzinfo is None) != (second.tzinfo is None)
        or second < first
    ):
        return None
    return second - first


def moment(text: str) -> Markup:
    """Markup of a time to the minute, with its offset as written and the full text as tooltip.

    Text that is not a time is shown unchanged.
    """
    when = parse_moment(text)
    if when is None:
        return name(text)
    zone = ""
    if when.tzinfo is not None:
        zone = " UTC" if not when.utcoffset() else f" {when:%z}"[:4] + ":" + f"{when:%z}"[3:5]
    shown = f"{when.day} {when:%b %Y, %H:%M}{zone}"
    return Markup('<time class="num" datetime="%s" title="%s">%s</time>') % (
        when.isoformat(),
        visible(text),
        shown,
    )


def sentence(text: str) -> str:
    """CSS class that capitalises a sentence; "" if the first word may be a name."""
    first = text.split(" ", 1)[0].rstrip(":,;")
    return "sentence" if first.isalpha() and first.islower() else ""
