"""The configured command line of rsync: what it may hold, and how it becomes a command.

Some of rsync's options corrupt files and end with exit code 0, some remove what they have copied,
some put half a file where a whole one is expected. A template that has one of these is refused when
the configuration is read, not when it has done its work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

DEFAULT = ("rsync", "{options}", "{source}", "{destination}")
PLACEHOLDERS = ("{options}", "{source}", "{destination}")

_STALE = "it leaves files that are not the same, and says that all is well"
_HALF = "it leaves half a file where a whole one is expected"
_REMOVES = "it removes data"
_NOTHING = "nothing would be copied"
_OURS = "which files are copied is not a matter of the template"

FORBIDDEN: dict[str, str] = {
    "--append": _STALE,
    "--append-verify": _STALE,
    "--size-only": _STALE,
    "--update": _STALE,
    "--ignore-existing": _STALE,
    "--existing": _STALE,
    "--ignore-non-existing": _STALE,
    "--ignore-errors": _STALE,
    "--inplace": _HALF,
    "--partial": _HALF,
    "--write-devices": _HALF,
    "--remove-source-files": _REMOVES,
    "--remove-sent-files": _REMOVES,
    "--del": _REMOVES,
    "--delete": _REMOVES,
    "--delete-before": _REMOVES,
    "--delete-during": _REMOVES,
    "--delete-delay": _REMOVES,
    "--delete-after": _REMOVES,
    "--delete-excluded": _REMOVES,
    "--delete-missing-args": _REMOVES,
    "--force": _REMOVES,
    "--backup": _REMOVES,
    "--dry-run": _NOTHING,
    "--list-only": _NOTHING,
    "--only-write-batch": _NOTHING,
    "--daemon": _NOTHING,
    "--recursive": _OURS,
    "--archive": _OURS,
    "--files-from": _OURS,
    "--no-relative": _OURS,
    "--no-R": _OURS,
    "--copy-links": "it copies what lies outside of the cell",
    "--copy-unsafe-links": "it copies what lies outside of the cell",
    "--keep-dirlinks": "it writes through links out of the landing area",
    "--insecure-links": "it writes through links out of the landing area",
    "--old-args": "names would be read by the shell of the other side",
    "--devices": "it makes devices in the landing area",
    "--copy-devices": "it reads devices without end",
    "--remote-option": "what the other side is told cannot be checked",
}

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
_LONG_WITH_VALUE = frozenset(
    {
        *(
            "--rsh",
            "--rsync-path",
            "--block-size",
            "--exclude",
            "--include",
            "--filter",
            "--exclude-from",
        ),
        *(
            "--include-from",
            "--temp-dir",
            "--partial-dir",
            "--timeout",
            "--bwlimit",
            "--chmod",
            "--chown",
            "--info",
        ),
        *(
            "--debug",
            "--compress-choice",
            "--compress-level",
            "--checksum-choice",
            "--max-size",
            "--min-size",
        ),
        *(
            "--modify-window",
            "--log-file",
            "--log-file-format",
            "--out-format",
            "--port",
            "--sockopts",
            "--outbuf",
        ),
        *(
            "--max-alloc",
            "--skip-compress",
            "--compare-dest",
            "--copy-dest",
            "--link-dest",
            "--stop-after",
            "--suffix",
        ),
        *(
            "--usermap",
            "--groupmap",
            "--iconv",
            "--address",
            "--contimeout",
            "--stderr",
            "--files-from",
        ),
        *("--remote-option", "--zc", "--zl", "--cc"),
    }
)


def template_problems(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with a template; nothing for the empty one, which stands for the usual command
    line.
    """
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
            yield "{options} stands for several words and should be a word of its own"
        elif "{" in left or "}" in left:
            yield f"`{word}` holds braces that are none of {', '.join(PLACEHOLDERS)}"
    # What stands before rsync is of another program: ionice, sudo.
    programs = [
        index for index, word in enumerate(words) if word.rpartition("/")[2].startswith("rsync")
    ]
    for option, said in _options(words[(programs or [0])[0] + 1 :]):
        if why := FORBIDDEN.get(option):
            yield f"`{said}` may not be used: {why}"


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option, in its long form where it is one of ours to judge, with the word it stands in."""
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
    """The command that a checked template (or, empty, the usual one) makes of options and `source`,
    `destination`.

    What is put in is never read again: a source that holds `{destination}` stays as it is.
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
