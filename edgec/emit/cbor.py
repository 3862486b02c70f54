"""A small deterministic CBOR (RFC 8949 core profile): None, bool, int, float64, str, bytes, list, dict with string keys.

The manifest must be readable with numpy alone and encode to the same bytes everywhere, so keys are written sorted by
their encoding and floats always as float64.
"""

from __future__ import annotations

import struct
from typing import Any


def _head(major: int, n: int) -> bytes:
    for limit, code, form in ((24, None, ""), (2**8, 24, ">B"), (2**16, 25, ">H"), (2**32, 26, ">I"), (2**64, 27, ">Q")):
        if n < limit:
            return bytes([major << 5 | n]) if code is None else bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError("integer beyond 64 bits")


def encode(value: Any) -> bytes:
    """CBOR bytes of value. Raises TypeError for anything the profile does not hold."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(3, len(data)) + data
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(v) for v in value)
    if isinstance(value, dict):
        pairs = sorted((encode(str(k)), encode(v)) for k, v in value.items())
        return _head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError(f"no CBOR form for {type(value).__name__}")


def decode(data: bytes) -> Any:
    """The value of one CBOR item that fills data. Raises ValueError for anything else."""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise ValueError("bytes after the CBOR item")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > 32 or at >= len(data):
        raise ValueError("CBOR nested too deep or cut short")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if info == 27 and at + 8 <= len(data):
            return struct.unpack_from(">d", data, at)[0], at + 8
        simple = {20: False, 21: True, 22: None}
        if info not in simple:
            raise ValueError("a CBOR simple value outside the profile")
        return simple[info], at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    if info > 27 or at + size > len(data):
        raise ValueError("CBOR cut short")
    n = int.from_bytes(data[at : at + size], "big") if size else info
    at += size
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        if at + n > len(data):
            raise ValueError("CBOR string cut short")
        raw = data[at : at + n]
        return (raw if major == 2 else raw.decode()), at + n
    if major == 4:
        items = []
        for _ in range(n):
            value, at = _item(data, at, depth + 1)
            items.append(value)
        return items, at
    if major == 5:
        result = {}
        for _ in range(n):
            key, at = _item(data, at, depth + 1)
            if not isinstance(key, str):
                raise ValueError("a CBOR map key that is not a string")
            result[key], at = _item(data, at, depth + 1)
        return result, at
    raise ValueError("CBOR tags are outside the profile")
