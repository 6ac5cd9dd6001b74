"""Keep freed memory for the next unit.

Every unit needs some megabytes for a few milliseconds. By default the C library returns such memory
to the kernel at once and requests it again, zeroed page by page. On virtual machines this costs a
tenth to a quarter of the whole work.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MMAP_BYTES = 32 << 20  # the most that glibc accepts
_TRIM_BYTES = 64 << 20


def keep_freed_memory() -> None:
    """Keep freed memory for the rest of this process; may be called again.

    C libraries other than glibc are left unchanged.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
