"""What a doctor has found out by trying: the word that all of them speak, of this host, of
upstreams and of backups.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `ok` is None where it is neither good nor bad, or could not be
    tried.
    """

    name: str
    ok: bool | None
    # a sentence without its full stop: what was found, and what to do about it where it is bad
    says: str
