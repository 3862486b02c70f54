"""Checkpoints: everything that the rest of a run depends on, in one file that is never half written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from edgec.errors import UsageError
from edgec.files import write_file


def save(path: Path, state: dict[str, Any]) -> None:
    """Written beside, then renamed: an interrupt leaves the checkpoint before."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_file(path, buffer.getvalue())


def load(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state saved at path; None where there is no file.

    identity: of this run: models, data, options. A checkpoint of another run is not continued.

    Raises:
        UsageError: the file is no checkpoint, or one of another run: what differs.
    """
    if not path.is_file():
        return None

    def bad(why: str) -> UsageError:
        return UsageError("the checkpoint does not belong to this run", where=f"checkpoint: {path}", why=why, fix="delete it to start anew, or name another file")

    try:
        state = torch.load(path, weights_only=True)
        found = state["identity"]
    except Exception as error:  # torch has no type of its own for a broken file
        raise bad(f"it cannot be read: {str(error).strip().splitlines()[0] if str(error) else type(error).__name__}") from None
    differs = [f"{key} is {identity.get(key)!r}, was {found.get(key)!r}" for key in {**found, **identity} if found.get(key) != identity.get(key)]
    if differs:
        raise bad("; ".join(differs))
    return state
