"""The process that makes the overview page and the metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from site_states import NOW, site_state

from hesiod_watch.runs.state_files import METRICS, PAGE, state_directory
from hesiod_watch.service import site_page
from hesiod_watch.service.site_page import SitePageMaker


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output area with its marker."""
    state_directory(tmp_path).mkdir()
    (state_directory(tmp_path) / "output").touch()
    return tmp_path


def test_latest_state_has_the_page(output: Path) -> None:
    """Of many states in a row the last one is on the page and in the metrics."""
    maker = SitePageMaker(output, "Facility")
    for count in range(20):
        maker.make(site_state(count), (), NOW)
    maker.close()
    assert (state_directory(output) / PAGE).read_text().count('role="rowheader"') == 19
    assert "hesiod_watch_last_look" in (state_directory(output) / METRICS).read_text()


def test_slow_process_is_ended(
    output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that takes too long is given up, logged once, and made the next time."""
    maker = SitePageMaker(output, "")
    with monkeypatch.context() as context:
        context.setattr(site_page, "LIMIT", 0.001)
        for _ in range(2):
            maker.make(site_state(1), (), NOW)
            maker.close()
    (record,) = caplog.records
    assert "was not made within" in str(vars(record))
    assert not (state_directory(output) / PAGE).exists()
    maker.make(site_state(1), (), NOW)
    maker.close()
    assert (state_directory(output) / PAGE).exists()
