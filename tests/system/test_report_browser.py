"""Pages in a real browser: they make no request, run no script and fit on a phone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from qc_documents import not_barcoded, plate, qc_document, run_document, without_fastq
from site_states import NOW, site_state

from hesiod_watch.core.watch_state import SiteTotals
from hesiod_watch.report.cell import render_cell
from hesiod_watch.report.run import render_run
from hesiod_watch.report.site import render_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

pytestmark = pytest.mark.system

CHROMIUM = Path("/usr/bin/chromium")

EVIL = (
    "\u202e\"'><script>alert(1)</script></style></title><img src=x onerror=alert(1)>"
    "<svg onload=alert(1)>\x1b\u2028"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is not installed")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no browser: the package playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in the browser, with a list of everything that it should not do."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def request(self, own: str, url: str) -> None:
        """Record a request for anything but the page itself and its embedded icon."""
        if url != own and not url.startswith("data:image/svg+xml,"):
            self.problems.append(f"request: {url}")


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """A function that opens a page's HTML from a file, with a width and a colour scheme."""
    contexts = []

    def open_page(html: str, *, width: int = 1280, scheme: Any = "light") -> Opened:
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        seen = Opened(context.new_page())
        url = file.as_uri()
        seen.page.on("console", lambda message: seen.problems.append(f"console: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.problems.append(f"error: {error}"))
        seen.page.on(
            "requestfailed", lambda request: seen.problems.append(f"failed: {request.url}")
        )
        seen.page.on("dialog", seen.dialog)
        seen.page.on("request", lambda request: seen.request(url, request.url))
        seen.page.goto(url, wait_until="networkidle")
        return seen

    yield open_page
    for context in contexts:
        context.close()


@cache
def html_of(kind: str) -> str:
    documents = {
        "cell": qc_document,
        "plate": lambda: qc_document(barcodes=plate(96)),
        "plain": not_barcoded,
        "no FASTQ": without_fastq,
    }
    if kind == "site":
        state = site_state(30)
        return render_site(state, SiteTotals.of(state.runs), title="Facility", made_at=NOW)
    return render_run(run_document()) if kind == "run" else render_cell(documents[kind]())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375, 360])
@pytest.mark.parametrize("kind", ["cell", "plate", "plain", "no FASTQ", "run", "site"])
def test_opens_quietly(opened: Any, kind: str, width: int, scheme: str) -> None:
    """A page opens without an error or a request, and is never wider than the screen."""
    seen = opened(html_of(kind), width=width, scheme=scheme)
    for details in seen.page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert seen.problems == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened: Any, scheme: str) -> None:
    """All visible text has a contrast of at least 4.5 to its background (WCAG 2, AA)."""
    for kind in ("cell", "plate", "no FASTQ", "run", "site"):
        seen = opened(html_of(kind), scheme=scheme)
        poor = seen.page.evaluate(POOR_CONTRAST)
        assert poor == [], kind


# Elements with text whose contrast to the nearest opaque background is under 4.5.
POOR_CONTRAST = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(
      node => node.nodeType === 3 && node.textContent.trim());
    const drawn = element.getClientRects().length && !["title", "desc"].includes(element.localName);
    if (!own || !drawn) continue;
    const style = getComputedStyle(element);
    const colour = element.localName === "text" ? style.fill : style.color;
    const [a, b] = [light(parts(colour)), light(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 120)}`);
  }
  return found;
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
@pytest.mark.parametrize("kind", ["cell", "plate", "plain", "no FASTQ", "run"])
def test_axe_finds_nothing(opened: Any, kind: str, width: int, scheme: str) -> None:
    """axe-core finds no violation on a page, with all folds open."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("the package axe-playwright-python is not installed")
    from axe_playwright_python.sync_playwright import Axe

    page = opened(html_of(kind), width=width, scheme=scheme).page
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    found = Axe().run(page)
    assert [
        (each["id"], node["html"][:200])
        for each in found.response["violations"]
        for node in each["nodes"]
    ] == []


def test_contrast_check_finds_grey_on_white(opened: Any) -> None:
    """The contrast check itself finds grey on white."""
    seen = opened("<!doctype html><title>t</title><p style='color: #aaa'>pale</p><p>plain</p>")
    assert len(seen.page.evaluate(POOR_CONTRAST)) == 1


def test_policy_blocks_script_and_style(opened: Any) -> None:
    """The policy blocks script and style that were added to a finished page.

    So it protects the page even if escaping fails.
    """
    html = render_cell(qc_document()).replace(
        "</main>",
        "<script>document.title = 'owned'</script><style>h1 { display: none }</style></main>",
    )
    seen = opened(html)
    assert seen.page.title() != "owned"
    assert seen.page.locator("h1").is_visible()
    assert any("Content Security Policy" in line for line in seen.problems)


def test_style_is_applied(opened: Any) -> None:
    """The page's own style sheet passes its own policy."""
    seen = opened(render_cell(qc_document()))
    assert (
        seen.page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
    )


def test_dialog_trap(opened: Any) -> None:
    """An attack in every name of a document opens no dialog, adds no element and runs no script."""

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poisoned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return EVIL if isinstance(value, str) else value

    run = run_document()
    for html in (
        render_cell(poisoned(qc_document())),
        render_run(poisoned(run) | {"covers": run["covers"]}),
    ):
        seen = opened(html)
        for link in seen.page.locator("header a, main a").all():
            if link.is_visible():
                link.hover()
        assert seen.page.locator("script, img, [onload], [onerror]").count() == 0
        assert seen.problems == []


def test_keyboard(opened: Any) -> None:
    """The tab key reaches the skip link, then every link and fold, each with a visible focus."""
    seen = opened(render_run(run_document()))
    wanted = seen.page.locator("a, summary").count()
    reached = []
    for _ in range(wanted):
        seen.page.keyboard.press("Tab")
        reached.append(
            seen.page.evaluate(
                "document.activeElement.getAttribute('href') || document.activeElement.tagName"
            )
        )
        assert (
            seen.page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
            >= 2
        )
    assert reached[0] == "#main"
    assert sum(target.endswith("report.html") for target in reached) == 3
    assert "BODY" not in reached


def test_skip_link(opened: Any) -> None:
    """The skip link is visible with the focus and leads to the content."""
    seen = opened(render_cell(qc_document()))
    link = seen.page.locator(".skip")
    assert link.bounding_box()["y"] < 0
    seen.page.keyboard.press("Tab")
    assert link.bounding_box()["y"] >= 0
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"


def test_labels_keep_their_size(opened: Any) -> None:
    """The axis labels of a chart are as big on a phone as on a desktop, and do not overlap."""
    heights = []
    for width in (1280, 360):
        seen = opened(render_cell(qc_document()), width=width)
        labels = seen.page.locator("#length-title ~ g.axis .tick.middle").all()
        boxes = [label.bounding_box() for label in labels]
        assert len(boxes) >= 3
        for left, right in pairwise(boxes):
            assert left["x"] + left["width"] < right["x"]
        heights.append(boxes[0]["height"])
    assert heights[0] == heights[1]


def test_charts_by_name(opened: Any) -> None:
    """A screen reader finds the charts as images with names, and the landmarks of the page."""
    page = opened(render_cell(qc_document())).page
    for name in (
        "Read length",
        "Mean quality",
        "Length against quality",
        "Yield over time",
        "Quality over time",
        "N50 over time",
        "Pores over time",
        "Channel activity",
    ):
        assert page.get_by_role("img", name=name).count() == 1
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("table", name="Barcodes, most bases first").count() == 1


def test_phone_table_is_a_table(opened: Any) -> None:
    """The run's table remains a table for a screen reader if a narrow screen shows it as blocks."""
    page = opened(render_run(run_document()), width=360).page
    table = page.get_by_role("table", name="Cells of the run")
    assert table.get_by_role("row").count() == 1 + 5
    assert table.get_by_role("columnheader", include_hidden=True).count() == 8


def test_phone_shows_that_a_table_scrolls(opened: Any) -> None:
    """A table that is wider than a phone says so and has a shadow; on a desktop it does not."""
    for width, scrolls in ((375, True), (1280, False)):
        page = opened(render_cell(qc_document()), width=width).page
        region = page.get_by_role("region", name="Barcodes, most bases first")
        assert region.evaluate("one => one.scrollWidth > one.clientWidth") is scrolls
        assert page.locator(".sideways").first.is_visible() is scrolls
        assert "gradient" in region.evaluate("one => getComputedStyle(one).backgroundImage")


def test_prints(opened: Any) -> None:
    """A printed page is dark on white, also from a dark screen."""
    page = opened(render_cell(qc_document()), scheme="dark").page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert len(page.pdf()) > 10_000
