"""MD5 whose state can be saved and continued: checksums an output that grows for days once.

`hashlib` does not give access to its state. OpenSSL's own MD5_Update and MD5_Final keep it in plain
memory: 92 bytes whose layout has been the same since the 1990s. They are called in the library that
Python's `_hashlib` has loaded, or in another libcrypto.

At import a digest is saved and restored in mid-stream and compared with `hashlib`. The saved bytes
are compared with RFC 1321, so that a state may move to another host. If any of this fails, `EMPTY`
is None: nothing is hashed while writing, and the finished file is read once more. Facilities
compare copies by MD5; it does not protect against manipulation.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

# Four words of state, two of length in bits, one incomplete block and its number of bytes.
_SIZE = 92
_START: Final = bytes.fromhex("0123456789abcdeffedcba9876543210") + bytes(_SIZE - 16)


class Md5:
    """A digest in progress, from `EMPTY` or from a state that `save` returned in any process."""

    __slots__ = ("_context", "_library")

    def __init__(self, state: bytes) -> None:
        if len(state) != _SIZE or _LIBRARY is None:
            raise ValueError("not a saved MD5 that can be continued on this host")
        self._library = _LIBRARY
        self._context = ctypes.create_string_buffer(state, _SIZE)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        view = np.frombuffer(data, np.uint8)  # an address for any kind of buffer, without a copy
        self._library.MD5_Update(self._context, view.__array_interface__["data"][0], len(view))

    def save(self) -> bytes:
        return self._context.raw

    def hexdigest(self) -> str:
        """The digest of all data so far; more data may follow."""
        last = ctypes.create_string_buffer(self._context.raw, _SIZE)
        digest = ctypes.create_string_buffer(16)
        self._library.MD5_Final(digest, last)
        return digest.raw.hex()


def _candidates() -> Iterator[str]:
    """Libraries that may have the functions.

    `_hashlib` finds them in the libcrypto that it is linked to.
    """
    try:
        import _hashlib  # Python can be built without OpenSSL
    except ImportError:
        pass
    else:
        yield getattr(_hashlib, "__file__", None) or ""  # "": linked into the interpreter itself
    if found := ctypes.util.find_library("crypto"):
        yield found


def _load() -> ctypes.CDLL | None:
    """The first library that passes the test; None if none does."""
    for name in _candidates():
        try:
            library = ctypes.CDLL(name or None)
            library.MD5_Update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
            library.MD5_Final.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        except (OSError, AttributeError):
            continue
        if works(library):
            return library
    return None


def works(library: ctypes.CDLL) -> bool:
    """Whether the library keeps its MD5 state at the expected place and in the expected form."""
    sample = bytes(range(100))
    # Extra room shows whether the library writes more than the state.
    state = ctypes.create_string_buffer(_START, 4 * _SIZE)
    library.MD5_Update(state, sample, 70)
    saved = state.raw
    # One block is in the state (RFC 1321's words A to D), 70 bytes are 560 bits, and six bytes are
    # left for the next block.
    known = (
        bytes.fromhex("cad94491c9e401d9385bfc721ef55f62")
        + (560).to_bytes(8, "little")
        + sample[64:70]
    )
    if not saved.startswith(known) or saved[88:] != (6).to_bytes(4, "little") + bytes(3 * _SIZE):
        return False
    restored = ctypes.create_string_buffer(saved[:_SIZE], _SIZE)
    library.MD5_Update(restored, sample[70:], 30)
    digest = ctypes.create_string_buffer(16)
    library.MD5_Final(digest, restored)
    return digest.raw == hashlib.md5(sample, usedforsecurity=False).digest()


_LIBRARY: Final = _load()

EMPTY: Final[bytes | None] = None if _LIBRARY is None else _START
"""The state of an empty digest; None if states cannot be saved on this host."""
