"""The checksum of POSIX's `cksum`, which more targets have than a tool for sha256."""

from __future__ import annotations


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc


_CRC = [_crc_of(byte) for byte in range(256)]


def cksum(data: bytes) -> int:
    """The checksum that POSIX defines for its tool `cksum`."""
    size, length = len(data), b""
    while size:
        length += bytes([size & 0xFF])
        size >>= 8
    crc = 0
    for byte in data + length:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc ^ 0xFFFFFFFF
