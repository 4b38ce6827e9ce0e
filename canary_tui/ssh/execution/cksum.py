"""The checksum of POSIX's `cksum`, which more targets have than a tool for sha256."""

from __future__ import annotations

import zlib

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL = 0xFFFFFFFF


def cksum(data: bytes) -> int:
    """The checksum that POSIX defines for its tool `cksum`: zlib's polynomial, with the bits of each byte in order."""
    size = len(data)
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    crc = zlib.crc32((data + length).translate(_REVERSED), _ALL) ^ _ALL
    return int(f"{crc:032b}"[::-1], 2) ^ _ALL
