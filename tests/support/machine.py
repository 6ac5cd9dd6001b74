"""What a machine must have for some tests."""

from __future__ import annotations

import pytest

from hesiod_watch.host import process

needs_machine_id = pytest.mark.skipif(
    not process.this_owner("test", "local").machine_id,
    reason="this machine has no machine id; a chroot may lack it",
)
"""Without one, no owner of another boot or host can be told from one of this machine."""
