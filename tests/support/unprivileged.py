"""Commands without root's rights, for tests of file permissions."""

from __future__ import annotations

import os
import shutil

import pytest
from sites import Site

UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Prefix of a command."""
needs_unprivileged = pytest.mark.skipif(
    bool(UNPRIVILEGED) and not shutil.which("setpriv"),
    reason="needs setpriv, or a user other than root",
)


class Unprivileged(Site):
    """A site whose commands obey file permissions, whatever user runs the tests."""

    def command(self, *arguments: str) -> list[str]:
        return [*UNPRIVILEGED, *super().command(*arguments)]
