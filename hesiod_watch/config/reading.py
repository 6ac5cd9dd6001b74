"""Read values from YAML, and report each mistake with its key.

A reader converts a node of the parsed document to the value, or raises `ConfigMistake`.
`read_section` reads a whole mapping into a dataclass by the annotations of its fields. It continues
after each mistake, so that a person sees all of them at once.

Numbers and durations are read from the text as written: YAML 1.1 would read `1:30` as 90 and `010`
as 8.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TAG = "tag:yaml.org,2002:"
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
LONGEST = 366 * 86400.0  # seconds; more than a year is probably a typing error
T = TypeVar("T", bound="DataclassInstance")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ConfigMistake(Exception):
    """Mistake in one value; the text follows the key."""


@dataclass
class ReadContext:
    """State while a document is read: its file, the lines of its keys, and the mistakes so far."""

    file: str
    base: Path | None  # directory for relative paths; None without a file
    lines: dict[str, int] = field(default_factory=dict)  # of each key read
    problems: list[tuple[int, str]] = field(default_factory=list)

    def problem(self, line: int, key: str, text: str) -> None:
        self.problems.append(
            (line, ": ".join(part for part in (f"{self.file}:{line}", display(key), text) if part))
        )


class ValueReader(Protocol):
    """Reader of one value: converts `node` under `key`.

    Raises ConfigMistake, or adds several mistakes to `reading`.
    """

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> object: ...


class NotAKey:
    """Marks a field that does not come from the file."""


class TextValue:
    """Text on one line."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        text = scalar(node, "text")
        if node.tag != f"{TAG}str":
            raise ConfigMistake(
                f"should be text, not {described(node)}; put it in quotes to make it text"
            )
        if not text.isprintable():
            raise ConfigMistake("should be text on one line, without control characters")
        return text


class PatternValue:
    """Regular expression in Python's syntax."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        text = TextValue()(
            yaml.ScalarNode(f"{TAG}str", scalar(node, "a regular expression")), reading, key
        )
        try:
            re.compile(text)
        except re.error as error:
            raise ConfigMistake(f"should be a regular expression: {error}") from None
        return text


class WordListValue:
    """List of words, each one argument of a command; an empty list for none."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigMistake(
                f"should be a list of words, such as [-o, Port=2222], not {described(node)}"
            )
        return tuple(self._word(each, reading, key) for each in node.value)

    def _word(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        # Ports and levels are words, too. YAML's own tag would make them numbers.
        scalar(node, "a list of words")
        return TextValue()(yaml.ScalarNode(f"{TAG}str", node.value), reading, key)


class UserListValue:
    """List of users, each a name known on this host or a number; the value has the numbers."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[int, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigMistake(
                f"should be a list of users, such as [hesiod, 1001], not {described(node)}"
            )
        return tuple(self._user(each) for each in node.value)

    def _user(self, node: yaml.Node) -> int:
        text = scalar(node, "a list of users")
        if re.fullmatch(r"[0-9]{1,9}", text):
            return int(text)
        try:
            return pwd.getpwnam(text).pw_uid
        except (KeyError, ValueError):  # ValueError: a NUL
            raise ConfigMistake(f"there is no user {described(node)} on this host") from None


@frozen
class DirectoryValue:
    """Absolute path, or a path relative to the directory of the configuration file.

    If it is `optional` it may be empty; that means None.
    """

    optional: bool = False

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> Path | None:
        text = TextValue()(node, reading, key)
        if self.optional and not text:
            return None
        if not text:
            raise ConfigMistake("should be a directory, not empty")
        if text.startswith("~") or "$" in text:
            raise ConfigMistake("`~` and `$` are not expanded: write the path out")
        if reading.base is None and not text.startswith("/"):
            raise ConfigMistake("should be an absolute path")
        return Path(os.path.normpath((reading.base or Path("/")) / text))


@frozen
class IntegerValue:
    """Whole number from `smallest` to `largest`.

    If `auto` is given, the word `auto` is allowed and means its result.
    """

    smallest: int
    largest: int
    auto: Callable[[], int] | None = None

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> int:
        text = scalar(node, "a whole number")
        if self.auto and text == "auto":
            return self.auto()
        if not re.fullmatch(r"-?[0-9]{1,9}", text):
            raise ConfigMistake(
                f"should be a whole number{' or auto' if self.auto else ''}, not {described(node)}"
            )
        if not self.smallest <= int(text) <= self.largest:
            raise ConfigMistake(
                f"should be from {self.smallest} to {self.largest}, not {int(text)}"
            )
        return int(text)


@frozen
class DurationValue:
    """Time span from `at_least` seconds to a year.

    Written `10s`, `5 min`, `1h 30m`, or as a number of seconds. If `never` is True, the word
    `never` is allowed, too; it means None.
    """

    at_least: float
    never: bool = False

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> float | None:
        text = scalar(node, "a time span")
        if self.never and text == "never":
            return None
        seconds = duration(text)
        if seconds is None:
            example = "a time span such as 10s, 5 min, 1h 30m or a number of seconds"
            raise ConfigMistake(f"should be {example}, not {described(node)}")
        if not self.at_least <= seconds <= LONGEST:
            shortest = number_of(self.at_least, "second", form="g")
            raise ConfigMistake(f"should be from {shortest} to 366 days, not {described(node)}")
        return seconds


class BooleanValue:
    """true or false."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> bool:
        value = BOOLEANS.get(scalar(node, "true or false").lower())
        if value is None or node.tag != f"{TAG}bool":
            raise ConfigMistake(f"should be true or false, not {described(node)}")
        return value


@frozen
class ChoiceValue:
    """One of a few words."""

    words: tuple[str, ...]

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        text = scalar(node, "one of " + ", ".join(self.words))
        if text not in self.words:
            raise ConfigMistake(
                f"should be one of {', '.join(self.words)}, not {described(node)}"
                f"{suggestion(text, self.words)}"
            )
        return text


@frozen
class SectionValue:
    """Mapping that is read into the dataclass `kind`."""

    kind: type[Any]

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> object:
        return read_section(reading, self.kind, node, key)


@frozen
class NamedSectionsValue:
    """Mapping from names to mappings, each read into the dataclass `kind`, with `name` as key."""

    kind: type[Any]

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[object, ...]:
        found = []
        for name, value in entries(reading, node, key):
            if not NAME.fullmatch(name):
                text = (
                    "a name should be letters, digits, _, - and ., beginning with a letter or digit"
                )
                reading.problem(reading.lines[joined(key, name)], joined(key, name), text)
            elif (
                section := read_section(reading, self.kind, value, joined(key, name), name=name)
            ) is not None:
                found.append(section)
        return tuple(found)


def reader_of(hint: Any) -> ValueReader | None:
    """Reader for a field with this annotation; None if the field is not a key."""
    if get_origin(hint) is Annotated:
        (reader,) = hint.__metadata__
        return None if reader is NotAKey else reader
    if get_origin(hint) is Literal:
        return ChoiceValue(get_args(hint))
    if get_origin(hint) is tuple:
        return NamedSectionsValue(get_args(hint)[0])
    return BooleanValue() if hint is bool else SectionValue(hint)


def keys_of(section: type[Any]) -> dict[str, ValueReader]:
    """Keys of a section in their order, each with its reader."""
    hints = get_type_hints(section, include_extras=True)
    readers = {each.name: reader_of(hints[each.name]) for each in dataclasses.fields(section)}
    return {name: reader for name, reader in readers.items() if reader is not None}


def read_section(
    reading: ReadContext, section: type[T], node: yaml.Node, key: str = "", **given: object
) -> T | None:
    """Read the dataclass `section` from a mapping; `given` are its fields that are not keys.

    Mistakes are added to `reading`, and a wrong key keeps its default. Returns None if that is not
    possible.
    """
    readers = keys_of(section)
    values = dict(given)
    met = set()
    for name, value in entries(reading, node, key):
        met.add(name)
        line = reading.lines[joined(key, name)]
        if name not in readers:
            known = suggestion(name, readers) or "; known here: " + ", ".join(readers)
            reading.problem(line, joined(key, name), "unknown key" + known)
            continue
        try:
            values[name] = readers[name](value, reading, joined(key, name))
        except ConfigMistake as mistake:
            reading.problem(line, joined(key, name), str(mistake))
    required = [
        each.name
        for each in dataclasses.fields(section)
        if each.default is each.default_factory is MISSING
    ]
    for name in required:
        if name in readers and name not in met:
            reading.problem(
                node.start_mark.line + 1, joined(key, name), "missing, and it has no default"
            )
    return section(**values) if all(name in values for name in required) else None


def entries(reading: ReadContext, node: yaml.Node, key: str) -> Iterator[tuple[str, yaml.Node]]:
    """Name and value of each entry of a mapping, and record its line; none for an empty section."""
    if isinstance(node, yaml.ScalarNode) and node.tag == f"{TAG}null":
        return
    if not isinstance(node, yaml.MappingNode):
        text = f"should be keys with values, not {described(node)}"
        reading.problem(reading.lines.get(key, node.start_mark.line + 1), key, text)
        return
    for name, value in node.value:
        line = name.start_mark.line + 1
        if not isinstance(name, yaml.ScalarNode):
            reading.problem(line, key, f"a key should be a word, not {described(name)}")
        elif (full := joined(key, name.value)) in reading.lines:
            reading.problem(line, full, f"given twice, first on line {reading.lines[full]}")
        else:
            reading.lines[full] = line
            yield name.value, value


def joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def scalar(node: yaml.Node, wanted: str) -> str:
    """Text of a single value as written; raises ConfigMistake for a list or a mapping."""
    if not isinstance(node, yaml.ScalarNode) or (
        node.tag == f"{TAG}null" and node.value in ("", "~", "null")
    ):
        raise ConfigMistake(f"should be {wanted}, not {described(node)}")
    return str(node.value)


def described(node: yaml.Node) -> str:
    """Value that a person wrote, shortened for a message."""
    if isinstance(node, yaml.MappingNode):
        return "keys with values"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    text = display(str(node.value))
    return f"`{text[:57]}...`" if len(text) > 60 else f"`{text}`" if text else "empty"


def suggestion(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def duration(text: str) -> float | None:
    """Seconds in `10s`, `5 min`, `1h 30m`, `1.5h` or a bare number; None for other text."""
    if re.fullmatch(NUMBER, text):
        return float(text)
    parts = re.findall(rf"({NUMBER})\s*([a-z]+)\s*", text)
    if not parts or re.sub(r"\s", "", text) != "".join(number + unit for number, unit in parts):
        return None
    if not all(unit in UNITS for _, unit in parts):
        return None
    return sum(float(number) * UNITS[unit] for number, unit in parts)
