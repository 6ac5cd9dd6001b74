"""Programs that record how they were called and give prepared answers, at the front of PATH."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

# They call no other program of their directory. Each call has a number.
_RECORD = """\
#!/bin/sh
PATH="${PATH#*:}"
n=1
while [ -e "$0.$n" ]; do n=$((n + 1)); done
printf '%s\\0' "$@" > "$0.$n"
printf '%s\\n' "${0##*/}" >> "${0%/*}/order"
"""
_ANSWER = """\
cat > "$0.$n.given"
env -0 > "$0.$n.environment"
while [ ! -e "$0.answer.$n" ]; do n=$((n - 1)); done
. "$0.answer.$n"
"""
_CONNECT_HERE = """\
settings=
while :; do
    case "$1" in
        -o | -i) shift 2 ;;
        -G) settings=1; shift ;;
        --) shift; break ;;
        -*) shift ;;
        *) break ;;
    esac
done
shift
if [ "$settings" ]; then exec cat "$0.settings"; fi
if [ $# = 0 ]; then exit 0; fi
PATH="${0%/*}:$PATH"
exec sh -c "$*"
"""


class PreparedAnswer(NamedTuple):
    """What a program prints, and how it ends."""

    output: str = ""
    errors: str = ""
    code: int = 0


class FakePrograms:
    """Directory of such programs, which is searched before all others."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        directory.mkdir()
        monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)

    def prepare(self, name: str, *answers: PreparedAnswer | str) -> None:
        """Make a program with the answers of its calls; a string is its whole output.

        The last answer is also that of all later calls.
        """
        for number, each in enumerate(answers, 1):
            answer = PreparedAnswer(each) if isinstance(each, str) else each
            base = self._directory / f"{name}.answer.{number}"
            base.with_name(f"{base.name}.output").write_text(answer.output)
            base.with_name(f"{base.name}.errors").write_text(answer.errors)
            base.write_text(f"cat '{base}.output'\ncat '{base}.errors' >&2\nexit {answer.code}\n")
        self.install(name, _RECORD + _ANSWER)

    def install(self, name: str, script: str) -> None:
        """Make a program from the text of its script."""
        program = self._directory / name
        program.write_text(script)
        program.chmod(0o755)

    def connect_ssh_to_this_host(self, settings: str = "") -> None:
        """Make an ssh that runs its commands here; `settings` is what `ssh -G` prints."""
        self.install("ssh", _RECORD + _CONNECT_HERE)
        (self._directory / "ssh.settings").write_text(settings)

    def calls(self, name: str) -> list[list[str]]:
        """Arguments of each call of a program."""
        return [words.split("\0")[:-1] for words in self._recorded(name, "")]

    def given(self, name: str) -> list[str]:
        """Standard input of each call of a program."""
        return self._recorded(name, ".given")

    def environments(self, name: str) -> list[dict[str, str]]:
        """Environment of each call of a program."""
        return [
            dict(each.split("=", 1) for each in text.split("\0")[:-1])
            for text in self._recorded(name, ".environment")
        ]

    def order(self) -> list[str]:
        """Names of the programs in the order of their calls."""
        order = self._directory / "order"
        return order.read_text().split() if order.exists() else []

    def _recorded(self, name: str, suffix: str) -> list[str]:
        found: list[str] = []
        while (path := self._directory / f"{name}.{len(found) + 1}{suffix}").exists():
            found.append(path.read_text())
        return found
