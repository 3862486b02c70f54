"""The folder of built objects and firmware: content-addressed, written beside and renamed, safe for parallel runs.

EDGEC_CACHE names it; otherwise `edgec` under XDG_CACHE_HOME or ~/.cache, or in the temporary folder where home is not
writable. Everything in it can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

KEEP = {"objects": 2000, "firmware": 200, "plugin": 10}
"""Entries kept of each kind; the ones not used for longest go first. Far more than any run uses at once."""


def folder() -> Path:
    """The cache folder, made if need be."""
    choices = [os.environ.get("EDGEC_CACHE"), os.environ.get("XDG_CACHE_HOME") and os.path.join(os.environ["XDG_CACHE_HOME"], "edgec"), os.path.expanduser("~/.cache/edgec")]
    for choice in choices:
        if choice:
            path = Path(choice)
            try:
                path.mkdir(parents=True, exist_ok=True)
                if os.access(path, os.W_OK):
                    return path
            except OSError:
                continue
    path = Path(tempfile.gettempdir()) / f"edgec-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def key(*parts: str | bytes) -> str:
    """A name for what these parts determine."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:40]


def cached(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind/name`; where it does not exist, `make` fills a new one that then takes its place in one step."""
    place = folder() / kind / name
    if place.is_dir():
        os.utime(place)
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{name[:8]}.", dir=place.parent))
    try:
        make(beside)
        try:
            beside.rename(place)
        except OSError:  # another process was first, with the same content
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    _prune(place.parent, KEEP[kind])
    return place


def _prune(parent: Path, keep: int) -> None:
    entries = []
    for path in parent.iterdir():
        try:
            entries.append((path.stat().st_mtime, path))
        except OSError:  # pruned by another process
            continue
    for _, path in sorted(entries, reverse=True)[keep:]:
        shutil.rmtree(path, ignore_errors=True)
