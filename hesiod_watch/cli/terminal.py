"""Tables and the progress bar for a terminal. Imported late, only where it is used.

rich is loaded for a terminal, and for tables: the lines of `status` in a pipe need none of it.
"""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from hesiod_watch.core import ownership
from hesiod_watch.core.frozen import frozen

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "complete": "green",
    "processed": "green",
    "failed": "bold red",
    "unknown": "bold yellow",
    "aborted": "dim",
    "stripped": "dim",
    "historic": "dim",
    "new": "cyan",
    "incomplete": "cyan",
}


@frozen
class StatusRow:
    """A run or a cell in the table of `status`. Text from disk must be escaped by `display`."""

    name: str
    state: str
    numbers: tuple[str, ...] = ()
    why: str = ""


def print_lines(titles: Sequence[str], lines: Sequence[StatusRow], stream: TextIO) -> None:
    """Print lines in columns; in a terminal the reason is below each line, wrapped.

    In a terminal that is too narrow for the columns, the name has its own line. In a pipe each line
    is one line with its reason, so that `grep` finds it.
    """
    if not lines:
        return
    numbers = titles[2:]
    name_width = max(len(line.name) for line in (*lines, StatusRow(titles[0], "")))
    state_width = max(len(line.state) for line in (*lines, StatusRow("", titles[1])))
    widths = [
        max(len(title), *(len(line.numbers[index]) for line in lines if line.numbers), 0)
        for index, title in enumerate(numbers)
    ]

    def right_of(cells: Sequence[str]) -> str:
        return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=False))

    if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        for line in (StatusRow(titles[0], titles[1], tuple(numbers)), *lines):
            name, state = line.name.ljust(name_width), line.state.ljust(state_width)
            text = f"{name}  {state}  {right_of(line.numbers)}".rstrip()
            print(f"{text}  {line.why}" if line.why else text, file=stream)
        return

    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    narrow = name_width + state_width + sum(width + 2 for width in widths) + 2 > console.width

    def row(name: Text, state: Text, cells: Sequence[str]) -> Text:
        if narrow:
            name.append("\n    ")
        else:
            name.pad_right(name_width - name.cell_len)
        state.pad_right(state_width - state.cell_len)
        return Text.assemble(name, "" if narrow else "  ", state, "  ", right_of(cells))

    head = row(Text(titles[0]), Text(titles[1]), numbers)
    head.stylize("bold")
    console.print(head)
    for line in lines:
        # The word carries the meaning; colour only helps.
        found = row(
            Text(line.name), Text(line.state, style=STYLES.get(line.state, "yellow")), line.numbers
        )
        found.rstrip()
        console.print(found)
        _print_below(console, line.why)


def print_table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], stream: TextIO
) -> None:
    """Print a table without frames; `columns` are pairs of title and whether to align right.

    Text from disk must be escaped by `display`. In a terminal that is too narrow, the last column
    is below the others, wrapped: a name is never folded. In a pipe every row is one line, however
    long, so that `grep` finds it.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    lines = [[Text(cell) for cell in line] for line in ([title for title, _ in columns], *rows)]
    widths = [max(line[index].cell_len for line in lines) for index in range(len(columns))]
    narrow = console.is_terminal and sum(widths) + 2 * len(widths) - 2 > console.width
    for number, line in enumerate(lines):
        last = line.pop() if narrow and number else Text()
        for cell, width, (_, right) in zip(line, widths, columns, strict=False):
            cell.pad_left(width - cell.cell_len) if right else cell.pad_right(width - cell.cell_len)
        shown = Text("  ").join(line)
        shown.rstrip()
        console.print(shown, style="" if number else "bold")
        _print_below(console, last.plain)


def print_facts(title: str, facts: Sequence[tuple[str, str]], stream: TextIO) -> None:
    """Print names below a title, each on a line of its own, with words about it, wrapped."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    if facts:
        console.print(Text(title, style="bold"))
    for name, words in facts:
        console.print(Text(f"  {name}"))
        _print_below(console, words)


def _print_below(console: Console, words: str) -> None:
    """Print words, wrapped; a name or a path stays whole, to be copied."""
    from rich.text import Text

    for part in textwrap.wrap(
        words, max(20, console.width - 6), break_long_words=False, break_on_hyphens=False
    ):
        console.print(Text(f"      {part}", style="dim"))


def human_bases(bases: object) -> str:
    """1,234,567,890 -> "1.23 Gb"."""
    if not isinstance(bases, int):
        return ""
    for size, unit in ((10**9, "Gb"), (10**6, "Mb"), (10**3, "kb")):
        if bases >= size:
            return f"{bases / size:.2f} {unit}"
    return f"{bases} b"


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[ownership.Progress], None]]:
    """Show a progress bar on standard error; yields the function that updates it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, note="")

        def listen(progress: ownership.Progress) -> None:
            bar.update(
                task,
                description=progress.phase,
                completed=progress.bytes_done,
                total=progress.bytes_total or None,
                note=progress.note,
            )

        yield listen
