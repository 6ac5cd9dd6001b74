"""Numbers, names, times and links as people read them. Pure; text in, text or safe markup out.

Two kinds of function: those that give plain `str` (for titles of bars, for descriptions) and those
that give `Markup` for a page, where the short form shows and the exact value is in the element's
`value` and `title`.

Texts from disk are hostile. `visible` is the one place where control and bidi characters become
something a person can see; the pages apply it to every text they print, so that no caller can
forget it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from markupsafe import Markup, escape

from hesiod_watch.core.naming import display

UNKNOWN = "\N{EN DASH}"

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_EXACT_BELOW = 10_000  # reads: up to here every digit is worth its place


def visible(text: str) -> str:
    """Text with everything that cannot be seen, or that reorders what can, written out as
    `naming.display` does it.

    Backslashes stay single, unlike there: sentences come with names already escaped, and escaping
    twice must change nothing. Always encodable as UTF-8.
    """
    return "\\".join(map(display, text.split("\\")))


def name(text: str) -> Markup:
    """A name from disk: isolated from the text around it, what was written out marked as such."""
    parts = [
        escape(character)
        if (shown := visible(character)) == character
        else Markup('<span class="odd">{}</span>').format(shown)
        for character in text
    ]
    return Markup('<bdi class="name">{}</bdi>').format(Markup("").join(parts))


def href(path: str) -> str:
    """A path, as on disk, as the target of a link: percent-encoded.

    The result is always a path on the page's own host: a colon is encoded, so there is no scheme
    (`javascript:`), and several leading slashes become one, so there is no other host
    (`//example`).
    """
    return _local(quote(path.encode("utf-8", "surrogateescape"), safe="/~"))


def url(relative: str) -> str:
    """A relative URL as the target of a link: what is encoded stays, what should be and is not, is;
    local as `href`.
    """
    return _local(quote(relative.encode("utf-8", "surrogateescape"), safe="/~%"))


def _local(encoded: str) -> str:
    return "/" + encoded.lstrip("/") if encoded.startswith("/") else encoded


def scaled(value: float) -> tuple[str, str]:
    """Three significant digits and the decimal prefix: 1234567 is ("1.23", "M"), 999.6 is ("1.00",
    "k").
    """
    # The limit is where three digits would round up to the next prefix's 1.00.
    factor, prefix = next(
        (scale for scale in _SCALES if abs(value) >= 0.9995 * scale[0]), _SCALES[-1]
    )
    number = value / factor
    if factor == 1.0 and float(value).is_integer():
        return f"{value:.0f}", prefix
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}", prefix


def bases_text(value: float) -> str:
    """An amount of sequence: "12.3 Gb"; below a thousand "845 b"."""
    number, prefix = scaled(value)
    return f"{number} {prefix}b"


def reads_text(value: float) -> str:
    """A number of reads: "9,999", "12.3 k", "2.31 M"."""
    if value < _EXACT_BELOW:
        return f"{value:,.0f}"
    number, prefix = scaled(value)
    return f"{number} {prefix}"


def share_text(fraction: float) -> str:
    """A fraction as a percentage that never rounds up to all or down to nothing."""
    percent = 100 * fraction
    if 0 < percent < 0.01:
        return "<0.01 %"
    if 0 < percent < 0.095:
        return f"{percent:.2f} %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    return "100 %" if percent == 100 else f"{percent:.1f} %"


def quality_text(value: float) -> str:
    """A quality, in Phred, to the tenth."""
    return f"{value:.1f}"


def exact_text(value: float, unit: str) -> str:
    """All that is known of a number: "5,420,000 reads"; four digits after the point where it has
    such.
    """
    return f"{value:,.0f} {unit}" if float(value).is_integer() else f"{value:,.4f} {unit}"


def size_text(value: float) -> str:
    """Bytes, in powers of ten as the disk's maker counts them: "1.20 GB"."""
    number, prefix = scaled(value)
    return f"{number} {prefix}B"


def hours_text(seconds: float) -> str:
    """How long: "71 h 58 min", "12 min", "40 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours:,} h {rest:02d} min"


def number(short: str, exact: float, unit: str) -> Markup:
    """A short number that carries its exact value for machines (`value`) and for whoever points at
    it (`title`).
    """
    return Markup('<data class="num" value="{}" title="{}">{}</data>').format(
        exact, exact_text(exact, unit), short
    )


def unknown() -> Markup:
    """The place of a number that nobody knows."""
    return Markup('<span class="unknown" title="not known">{}</span>').format(UNKNOWN)


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
        else Markup('<span class="num">{}</span>').format(f"{value:,.{digits}f}")
    )


def hours(seconds: float | None) -> Markup:
    return unknown() if seconds is None else number(hours_text(seconds), round(seconds), "seconds")


def parse_moment(text: str) -> datetime | None:
    """A time as MinKNOW or this program writes it; None where it is no time."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def between(start: str, stop: str) -> timedelta | None:
    """Time from one moment to the next; None where either is no time, they cannot be compared, or
    it runs backwards.
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
    """A time to the minute, with its offset as written; the full text in the title. What is no time
    shows as it is.
    """
    when = parse_moment(text)
    if when is None:
        return name(text)
    zone = ""
    if when.tzinfo is not None:
        zone = " UTC" if not when.utcoffset() else f" {when:%z}"[:4] + ":" + f"{when:%z}"[3:5]
    shown = f"{when.day} {when:%b %Y, %H:%M}{zone}"
    return Markup('<time class="num" datetime="{}" title="{}">{}</time>').format(
        when.isoformat(), visible(text), shown
    )


def sentence(text: str) -> str:
    """The class of a sentence, which is shown with a capital; none where it begins with what may be
    a name.
    """
    first = text.split(" ", 1)[0].rstrip(":,;")
    return "sentence" if first.isalpha() and first.islower() else ""
