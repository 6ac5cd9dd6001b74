"""A landing area that disappears, returns or is replaced; a missing one is not empty."""

from __future__ import annotations

from pathlib import Path

from watched_landing import CELL, Watched, wait_until


def test_the_landing_area_disappears_and_returns(
    tmp_path: Path, watched: Watched, cell: Path
) -> None:
    """A renamed landing area counts as missing and sends nothing under its old name.

    Back again, it is watched and looked at as a whole.
    """
    away = tmp_path / "away"
    watched.path.rename(away)
    assert wait_until(lambda: watched.state() == "gone")
    watched.watching.check()
    watched.hints.clear()
    (away / "run" / "lib" / CELL / "final_summary.txt").touch()
    watched.sweep(2)
    assert watched.hints.all == []
    assert watched.state() == "gone"
    assert "does not exist" in watched.watching.describe()
    assert watched.watching.counters.vanished == 1
    away.rename(watched.path)
    watched.sweep()
    assert watched.state() == "events"
    assert watched.hints.all == [None]
    (watched.path / "another").mkdir()
    assert watched.hints.has(watched.path / "another")


def test_a_landing_area_with_a_renamed_parent_is_silent(tmp_path: Path) -> None:
    """No event reports a renamed parent; after a sweep noticed it, the old name is silent."""
    landing = tmp_path / "above" / "landing"
    (landing / "run").mkdir(parents=True)
    with Watched(landing) as watched:
        (tmp_path / "above").rename(tmp_path / "elsewhere")
        watched.sweep()
        assert watched.state() == "gone"
        watched.hints.clear()
        (tmp_path / "elsewhere" / "landing" / "run" / "lib").mkdir()
        (tmp_path / "elsewhere").rename(tmp_path / "above")
        watched.sweep()
        assert watched.hints.all == [None]


def test_an_empty_directory_in_its_place_counts_as_missing(
    tmp_path: Path, watched: Watched, cell: Path
) -> None:
    """If runs were known, an empty directory at the same path counts as missing until filled."""
    watched.sweep()
    watched.path.rename(tmp_path / "away")
    watched.path.mkdir()
    watched.sweep(2)
    assert watched.state() == "gone"
    assert "is its file system mounted?" in watched.watching.describe()
    watched.hints.clear()
    (watched.path / "run").mkdir()
    watched.sweep()
    assert watched.state() == "events"
    assert None in watched.hints.all


def test_another_directory_in_its_place_is_watched(
    tmp_path: Path, watched: Watched, cell: Path
) -> None:
    """A landing area replaced between two looks is watched and looked at as a whole."""
    other = tmp_path / "other"
    (other / "run_b").mkdir(parents=True)
    watched.path.rename(tmp_path / "away")
    other.rename(watched.path)
    watched.hints.clear()
    watched.sweep()
    assert None in watched.hints.all
    assert watched.state() == "events"
    (watched.path / "run_c").mkdir()
    assert watched.hints.has(watched.path / "run_c")


def test_a_deleted_landing_area_that_is_made_again(watched: Watched) -> None:
    """A landing area deleted and made again, perhaps with the same inode, is watched again."""
    watched.path.rmdir()
    watched.path.mkdir()
    assert wait_until(lambda: watched.watching.next_check() == 0.0)
    watched.watching.check()
    assert watched.state() == "events"
    (watched.path / "run").mkdir()
    assert watched.hints.has(watched.path / "run")


def test_a_landing_area_that_returns_between_two_checks(
    tmp_path: Path, watched: Watched, cell: Path
) -> None:
    """A landing area renamed away and back between two looks is watched as before."""
    watched.path.rename(tmp_path / "away")
    (tmp_path / "away").rename(watched.path)
    assert wait_until(lambda: watched.watching.next_check() == 0.0)
    watched.watching.check()
    assert watched.state() == "events"
    watched.hints.clear()
    (cell / "final_summary.txt").touch()
    assert watched.hints.has(cell.parents[1])


def test_a_landing_area_that_appears_later(tmp_path: Path) -> None:
    """The start needs no landing area; it is watched when it appears."""
    landing = tmp_path / "later"
    with Watched(landing) as watched:
        assert watched.state() == "gone"
        assert watched.hints.all == []
        landing.mkdir()
        watched.sweep()
        assert watched.state() == "events"
        assert watched.hints.all == [None]
