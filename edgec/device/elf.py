"""Sections and symbols of a linked file: what the linker script's names mean in bytes."""

from __future__ import annotations

import struct
from pathlib import Path

ARM = 40


class Elf:
    """A little-endian ELF file of 32 or 64 bits (System V ABI, chapter 4)."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data[:4] != b"\x7fELF" or data[5] != 1 or data[4] not in (1, 2):
            raise ValueError(f"{path} is not a little-endian ELF file")
        self.wide, self.machine, self.data = data[4] == 2, struct.unpack_from("<H", data, 18)[0], data
        start = struct.unpack_from("<Q", data, 0x28)[0] if self.wide else struct.unpack_from("<I", data, 0x20)[0]
        entry, count, names = struct.unpack_from("<HHH", data, 0x3A if self.wide else 0x2E)
        form = "<IIQQQQII" if self.wide else "<IIIIIIII"  # name, type, flags, address, offset, size, link, info
        self.headers = [struct.unpack_from(form, data, start + entry * i) for i in range(count)]
        self.names = [self._text(self.headers[names], h[0]) for h in self.headers]

    def _text(self, table: tuple[int, ...], at: int) -> str:
        start = table[4] + at
        return self.data[start : self.data.index(b"\0", start)].decode()

    def section_sizes(self) -> dict[str, int]:
        """Section name → bytes."""
        return {name: h[5] for name, h in zip(self.names, self.headers, strict=True)}

    def functions(self) -> dict[str, int]:
        """Symbols in executable sections → address, without Thumb's lowest bit; several names may have one address."""
        found = {}
        for header in self.headers:
            if header[1] != 2:  # SHT_SYMTAB
                continue
            strings = self.headers[header[6]]
            size = 24 if self.wide else 16
            for at in range(header[4], header[4] + header[5], size):
                if self.wide:
                    name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", self.data, at)
                else:
                    name, value, _, info, _, section = struct.unpack_from("<IIIBBH", self.data, at)
                if info & 15 <= 2 and 0 < section < len(self.headers) and self.headers[section][2] & 4:
                    found[self._text(strings, name)] = value & ~1 if self.machine == ARM else value
        return found
