"""Writing files so that no one ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgec.errors import UsageError


def write_file(path: str | os.PathLike, data: bytes) -> Path:
    """Write data to a temporary file in the same folder, then rename it to path.

    Raises:
        UsageError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise UsageError("cannot write the file", where=str(target), why=str(error.strerror or error), fix="name a file in a folder that exists and can be written") from None
    return target
