"""Sizes of the sections of a linked file: what the linker script's names mean in bytes."""

from __future__ import annotations

import struct
from pathlib import Path


def section_sizes(path: Path) -> dict[str, int]:
    """Section name → bytes, of a little-endian ELF file of 32 or 64 bits (System V ABI, chapter 4)."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or data[5] != 1 or data[4] not in (1, 2):
        raise ValueError(f"{path} is not a little-endian ELF file")
    wide = data[4] == 2
    start = struct.unpack_from("<Q", data, 0x28)[0] if wide else struct.unpack_from("<I", data, 0x20)[0]
    entry, count, names = struct.unpack_from("<HHH", data, 0x3A if wide else 0x2E)
    form = "<IIQQQQ" if wide else "<IIIIII"  # name, type, flags, address, offset, size
    headers = [struct.unpack_from(form, data, start + entry * i) for i in range(count)]
    text = data[headers[names][4] :]
    return {text[name : text.index(b"\0", name)].decode(): size for name, _, _, _, _, size in headers}
