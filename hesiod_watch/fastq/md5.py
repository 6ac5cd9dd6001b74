"""MD5 whose state can be saved and gone on with: the checksum of an output that grows for days,
read once.

`hashlib` keeps its state to itself. OpenSSL's own MD5_Update and MD5_Final keep it in plain memory,
92 bytes that have been the same since the 1990s; they are called in the library that Python's
`_hashlib` has loaded, or another of that kind. At import a digest is saved and restored in
mid-stream and compared with `hashlib`, and the saved bytes with what RFC 1321 says they are, so
that a state may travel to another host. Where any of this fails, `EMPTY` is None: nothing is hashed
on the way, and the finished file is read once more. MD5 is what facilities compare copies by; it
guards against nobody.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

# four words of state, two of length in bits, a block waiting to be filled, how many bytes it has
_SIZE = 92
_START: Final = bytes.fromhex("0123456789abcdeffedcba9876543210") + bytes(_SIZE - 16)


class Md5:
    """One digest under way, from `EMPTY` or what `save` gave, in this process or another."""

    __slots__ = ("_context", "_library")

    def __init__(self, state: bytes) -> None:
        if len(state) != _SIZE or _LIBRARY is None:
            raise ValueError("no saved MD5 that could be gone on with here")
        self._library = _LIBRARY
        self._context = ctypes.create_string_buffer(state, _SIZE)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        view = np.frombuffer(data, np.uint8)  # an address for any kind of buffer, without a copy
        self._library.MD5_Update(self._context, view.__array_interface__["data"][0], len(view))

    def save(self) -> bytes:
        return self._context.raw

    def hexdigest(self) -> str:
        """Of everything so far; more may follow."""
        last = ctypes.create_string_buffer(self._context.raw, _SIZE)
        digest = ctypes.create_string_buffer(16)
        self._library.MD5_Final(digest, last)
        return digest.raw.hex()


def _candidates() -> Iterator[str]:
    """Libraries that may have the functions; `_hashlib` finds them in the libcrypto that it is
    linked to.
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
    """The first library that passes the test."""
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
    """Whether its MD5 keeps its state where, and as, we think."""
    sample = bytes(range(100))
    state = ctypes.create_string_buffer(
        _START, 4 * _SIZE
    )  # with room for whatever it might write behind
    library.MD5_Update(state, sample, 70)
    saved = state.raw
    # One block is in the state (RFC 1321's words A to D), 70 bytes are 560 bits, and six of them
    # wait.
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
"""The state of a digest of nothing; None where states cannot be saved on this host."""
