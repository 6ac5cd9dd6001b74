"""Memory that was freed is used again and not requested from the kernel each time."""

from __future__ import annotations

import ctypes
import resource

import pytest

from hesiod_watch.fastq.malloc import keep_freed_memory

LIBRARY = ctypes.CDLL(None)
BLOCKS, SIZE = 40, 1 << 20  # as much as a unit of reads needs


def faults_of_a_unit() -> int:
    """Pages that the kernel provides while some memory is allocated, used and freed."""
    LIBRARY.malloc.restype = ctypes.c_void_p
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [ctypes.c_void_p(LIBRARY.malloc(ctypes.c_size_t(SIZE))) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, SIZE)
    for block in blocks:
        LIBRARY.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(LIBRARY, "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_kept() -> None:
    """The second unit has the memory of the first one; calling again changes nothing."""
    keep_freed_memory()
    keep_freed_memory()
    faults_of_a_unit()
    for _ in range(3):
        assert faults_of_a_unit() < BLOCKS * SIZE // resource.getpagesize() // 10
