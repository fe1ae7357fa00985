"""Integers of a few bits each, side by side in bytes."""

from __future__ import annotations

import numpy as np

_TILE = 1 << 20  # entries at a time, a multiple of 8: whole bytes whatever the width


def packed_bytes(count: int, width: int) -> int:
    """The bytes that `count` integers of `width` bits take."""
    return -(-count * width // 8)


def pack_bits(codes: np.ndarray, width: int) -> np.ndarray:
    """Entry `i` takes the bits ``i * width`` to ``(i + 1) * width``, its lowest bit first.

    Bit `t` is bit ``t % 8`` of byte ``t // 8``, the lowest being bit 0; what is left of the last
    byte is zero.
    """
    codes = codes.reshape(-1)
    if width == 8:
        return codes.astype(np.uint8)
    packed = np.empty(packed_bytes(codes.size, width), dtype=np.uint8)
    for start in range(0, codes.size, _TILE):
        tile = codes[start : start + _TILE].astype("<u4" if width > 8 else "u1")
        octets = tile.view(np.uint8).reshape(tile.size, -1)
        bits = np.unpackbits(octets, axis=1, count=width, bitorder="little")
        done = packed_bytes(start, width)
        piece = np.packbits(bits.reshape(-1), bitorder="little")
        packed[done : done + piece.size] = piece
    return packed


def unpack_bits(packed: np.ndarray, width: int, count: int) -> np.ndarray:
    """The inverse of `pack_bits`, as uint8 or, above 8 bits, as uint32."""
    if packed.size != packed_bytes(count, width):
        raise ValueError(
            f"the packed layer has {packed.size} bytes for {count} codes of {width} bits"
        )
    if width == 8:
        return packed.copy()
    n_octets = 1 if width <= 8 else 4
    codes = np.empty(count, dtype="u1" if n_octets == 1 else "<u4")
    for start in range(0, count, _TILE):
        size = min(_TILE, count - start)
        first = packed_bytes(start, width)
        piece = packed[first : first + packed_bytes(size, width)]
        bits = np.unpackbits(piece, count=size * width, bitorder="little").reshape(size, width)
        wide = np.zeros((size, 8 * n_octets), dtype=np.uint8)
        wide[:, :width] = bits
        octets = np.packbits(wide, axis=1, bitorder="little")
        codes[start : start + size] = octets.reshape(-1).view(codes.dtype)
    return codes.astype(codes.dtype.newbyteorder("="), copy=False)
