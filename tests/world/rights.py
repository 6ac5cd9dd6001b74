"""Rights of a process of root, given up so that the modes of files count."""

from __future__ import annotations

import ctypes
import os

_PR_SET_SECUREBITS, _NOROOT = 28, 1
_VERSION = 0x20080522


def give_up_rights() -> None:
    """Have this process, and what it starts, obey the modes of files although it is root's."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.prctl(_PR_SET_SECUREBITS, _NOROOT, 0, 0, 0) or libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "the rights of root cannot be given up")
