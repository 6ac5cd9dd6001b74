"""Numbers, names and links in the pages."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.report import formatting

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "a\u2066b\u2069c",
    "zero\u200bwidth",
    "esc\x1b[31mred",
    "two\nlines",
    "nul\x00byte",
    "bad\udcffbyte",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "//example.org/x",
    "-rf *",
]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, ("0", "")),
        (1, ("1", "")),
        (812, ("812", "")),
        (812.5, ("812", "")),
        (999, ("999", "")),
        (999.6, ("1.00", "k")),
        (1000, ("1.00", "k")),
        (1234, ("1.23", "k")),
        (12_345, ("12.3", "k")),
        (99_949, ("99.9", "k")),
        (99_950, ("100", "k")),
        (999_499, ("999", "k")),
        (999_500, ("1.00", "M")),
        (1_234_567_890, ("1.23", "G")),
        (9_995_000_000_000, ("10.0", "T")),
        (2.5e15, ("2500", "T")),
    ],
)
def test_scaled(value: float, shown: tuple[str, str]) -> None:
    """Numbers have three significant digits, and rounding never gives `1000 k`."""
    assert formatting.scaled(value) == shown


@given(st.integers(min_value=1000, max_value=10**15))
def test_scaled_is_near(value: int) -> None:
    """The short form is within half a percent of its number."""
    number, prefix = formatting.scaled(value)
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert abs(float(number) * factor - value) <= 0.0051 * value


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (0, "0.0 %"),
        (0.00001, "<0.01 %"),
        (0.0001, "0.01 %"),
        (0.0009, "0.09 %"),
        (0.00096, "0.1 %"),
        (0.5, "50.0 %"),
        (0.99949, "99.9 %"),
        (0.9999999, ">99.9 %"),
        (1, "100 %"),
    ],
)
def test_share(fraction: float, shown: str) -> None:
    """A small share is never shown as 0 %, and a share below 1 never as 100 %."""
    assert formatting.share_text(fraction) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-19T14:05:33.421000+00:00", "19 Nov 2026, 14:05 UTC"),
        ("2026-11-19T14:05:33Z", "19 Nov 2026, 14:05 UTC"),
        ("2019-07-10T12:41:49.000001+02:00", "10 Jul 2019, 12:41 +02:00"),
        ("2019-07-10T12:41:49-05:30", "10 Jul 2019, 12:41 -05:30"),
        ("2019-07-10T12:41:49", "10 Jul 2019, 12:41"),
    ],
)
def test_moment(text: str, shown: str) -> None:
    """A time is shown as written, to the minute, with its offset if it has one."""
    assert f">{shown}</time>" in formatting.moment(text)


def test_invalid_moment() -> None:
    """A text in place of a time is shown unchanged."""
    assert "yesterday &lt;b&gt;" in formatting.moment("yesterday <b>")


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ("", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00", "2026-01-01T01:00:00Z"),
        ("2026-01-02", "2026-01-01"),
    ],
)
def test_no_time_between(start: str, stop: str) -> None:
    """Times that are missing, cannot be compared or run backwards give no duration."""
    assert formatting.between(start, stop) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_text(text: str) -> None:
    """A name becomes text without tags or invisible characters, which a file can store."""
    markup = formatting.name(text)
    inside = markup.removeprefix('<bdi class="name">').removesuffix("</bdi>")
    plain = inside.replace('<span class="odd">', "").replace("</span>", "")
    assert "<" not in plain
    assert ">" not in plain
    assert '"' not in plain
    assert plain.isprintable()
    plain.encode()


@given(st.text())
def test_visible_settles(text: str) -> None:
    """The result of `visible` is printable, and a second call changes nothing."""
    shown = formatting.visible(text)
    assert shown.isprintable()
    assert formatting.visible(shown) == shown


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("link", [formatting.href, formatting.url])
def test_links_stay_on_the_page(text: str, link: object) -> None:
    """A link from any text leads to a path on the page's host and cannot end its attribute."""
    assert callable(link)
    target = link(text)
    assert target.isascii()
    assert not set(target) & set("<>\"'& \\")
    base = "https://lab.example/run/report.html"
    parts = urlsplit(urljoin(base, target))
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == (
        "https",
        "lab.example",
        "",
        "",
    )


def test_href_names_the_file() -> None:
    """Any path survives the conversion to a link and back."""
    path = "lib 1/50%_a#b?c/ü:\udcff.html"
    assert unquote(formatting.href(path), errors="surrogateescape") == path


def test_url_keeps_what_is_encoded() -> None:
    """An encoded URL is not encoded again."""
    assert (
        formatting.url("pool%201/20261119_1405/report.html") == "pool%201/20261119_1405/report.html"
    )
