"""Commands without root's right to read and write everything, for tests of what permissions forbid."""

from __future__ import annotations

import os
import shutil

import pytest

UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""What goes before a command."""
needs_unprivileged = pytest.mark.skipif(
    bool(UNPRIVILEGED) and not shutil.which("setpriv"),
    reason="needs setpriv, or somebody other than root",
)
