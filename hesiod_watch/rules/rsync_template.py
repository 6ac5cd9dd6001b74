"""Template of the rsync command line: allowed options and expansion to a command.

Some options of rsync corrupt files and still end with exit code 0. Some remove the files that they
have copied. Some leave a partial file where a complete one is expected. A template with such an
option is refused when the configuration is read, before it can do damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

DEFAULT = ("rsync", "{options}", "{source}", "{destination}")
PLACEHOLDERS = ("{options}", "{source}", "{destination}")

_REFUSED = {
    "it leaves files that are not the same, and reports success": (
        "--append --append-verify --size-only --update --ignore-existing --existing "
        "--ignore-non-existing --ignore-errors"
    ),
    "it leaves a partial file where a complete one is expected": (
        "--inplace --partial --write-devices"
    ),
    "it removes data": (
        "--remove-source-files --remove-sent-files --del --delete --delete-before "
        "--delete-during --delete-delay --delete-after --delete-excluded --delete-missing-args "
        "--force --backup"
    ),
    "nothing would be copied": "--dry-run --list-only --only-write-batch --daemon",
    "the template does not choose which files are copied": (
        "--recursive --archive --files-from --no-relative --no-R"
    ),
    "it copies files from outside the cell": "--copy-links --copy-unsafe-links",
    "it writes through links out of the landing area": "--keep-dirlinks --insecure-links",
    "the shell of the other side would interpret names": "--old-args",
    "it creates devices in the landing area": "--devices",
    "it reads devices without end": "--copy-devices",
    "options for the other side cannot be checked": "--remote-option",
}
"""Options that may not be used, by the reason."""

FORBIDDEN = {option: why for why, options in _REFUSED.items() for option in options.split()}

_SHORT = {
    "a": "--archive",
    "b": "--backup",
    "D": "--devices",
    "K": "--keep-dirlinks",
    "L": "--copy-links",
    "M": "--remote-option",
    "n": "--dry-run",
    "P": "--partial",
    "r": "--recursive",
    "u": "--update",
}
_SHORT_WITH_VALUE = frozenset("eBfT@M")
_VALUE_FOLLOWS = (
    "--rsh --rsync-path --block-size --exclude --include --filter --exclude-from "
    "--include-from --temp-dir --partial-dir --timeout --bwlimit --chmod --chown --info "
    "--debug --compress-choice --compress-level --checksum-choice --max-size --min-size "
    "--modify-window --log-file --log-file-format --out-format --port --sockopts --outbuf "
    "--max-alloc --skip-compress --compare-dest --copy-dest --link-dest --stop-after "
    "--suffix --usermap --groupmap --iconv --address --contimeout --stderr --files-from "
    "--remote-option --zc --zl --cc"
)
_LONG_WITH_VALUE = frozenset(_VALUE_FOLLOWS.split())


def template_problems(words: Sequence[str]) -> Iterator[str]:
    """Problems of a template; the empty template means the default command line and has none."""
    if not words:
        return
    if words[0].startswith("-") or "{" in words[0]:
        yield "should begin with the program"
    for placeholder in PLACEHOLDERS[1:]:
        if sum(placeholder in word for word in words) != 1:
            yield f"should have {placeholder} once"
    if "--" in words:
        yield "`--` would end the options before those that are added"
    if words.count("{options}") > 1:
        yield "should have {options} once"
    for word in words:
        left = word
        for placeholder in PLACEHOLDERS:
            left = left.replace(placeholder, "")
        if "{options}" in word and word != "{options}":
            yield "{options} stands for several words and should be an argument by itself"
        elif "{" in left or "}" in left:
            yield f"`{word}` contains braces other than {', '.join(PLACEHOLDERS)}"
    # Words before rsync belong to another program, such as ionice or sudo.
    programs = [
        index for index, word in enumerate(words) if word.rpartition("/")[2].startswith("rsync")
    ]
    for option, word in _options(words[(programs or [0])[0] + 1 :]):
        if why := FORBIDDEN.get(option):
            yield f"`{word}` may not be used: {why}"


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option with the word that contains it; known short options in their long form."""
    skip = False
    for word in words:
        if skip or not word.startswith("-") or word == "-":
            skip = False
        elif word.startswith("--"):
            option, equals, _ = word.partition("=")
            skip = not equals and option in _LONG_WITH_VALUE
            yield option, word
        else:
            for index, letter in enumerate(word[1:], 2):
                yield _SHORT.get(letter, f"-{letter}"), word
                if letter in _SHORT_WITH_VALUE:
                    skip = index == len(word)
                    break


def expand(
    words: Sequence[str], options: Sequence[str], values: Mapping[str, str]
) -> tuple[str, ...]:
    """Expand a checked template with options and the values `source` and `destination`.

    An empty template means DEFAULT. Inserted values are never expanded again: a source that
    contains `{destination}` stays as it is.
    """
    command: list[str] = []
    for word in words or DEFAULT:
        if word == "{options}":
            command += options
            continue
        for name in ("source", "destination"):
            before, found, after = word.partition(f"{{{name}}}")
            if found:
                word = f"{before}{values[name]}{after}"
                break
        command.append(word)
    return tuple(command)
