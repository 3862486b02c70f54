"""Signing artifacts: Ed25519 over header and section table, whose hashes cover every other byte (docs/SPEC.md section 2).

The cryptography package does it (edgec[sign]); nothing here is needed to run an artifact.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgec.emit.artifact import HEADER_BYTES, SIGNATURE, SIGNATURE_BYTES, assemble, sections_of
from edgec.errors import ArtifactError, ToolError, UsageError

Key = str | os.PathLike | bytes


def sign(data: bytes, private_key: Key) -> bytes:
    """The artifact with a SIGNATURE section: 64 bytes of signature, then the 32 bytes of the public key.

    A signature that is there already is replaced.
    """
    key = _load(private_key, private=True)
    header, sections, _ = sections_of(data)
    kept = [(number, section) for number, section in sections.items() if number != SIGNATURE]
    unsigned = assemble([*kept, (SIGNATURE, bytes(SIGNATURE_BYTES))], header)
    message = unsigned[: HEADER_BYTES + 64 * (len(kept) + 1)]
    return unsigned[:-SIGNATURE_BYTES] + key.sign(message) + key.public_key().public_bytes_raw()


def verify(data: bytes, trusted_keys: Sequence[Key], where: str = "artifact") -> None:
    """Check that the artifact is signed by one of the keys.

    Raises:
        ArtifactError: no signature, one by another key, or one that does not fit the bytes.
    """
    keys = [_load(key, private=False) for key in trusted_keys]
    _, sections, message = sections_of(data, where)
    stored = sections.get(SIGNATURE)

    def refuse(why: str) -> ArtifactError:
        return ArtifactError("the artifact is not trusted", where=where, why=why, fix="take the artifact from its publisher, or add the publisher's key")

    if stored is None or len(stored) != SIGNATURE_BYTES:
        raise refuse("it carries no signature")
    from cryptography.exceptions import InvalidSignature

    for key in keys:
        if key.public_bytes_raw() == stored[64:]:
            try:
                key.verify(stored[:64], message)
            except InvalidSignature:
                raise refuse("its signature does not fit its bytes") from None
            return
    raise refuse(f"it is signed by key {stored[64:72].hex()}…, which is not among the {len(keys)} trusted")


def _load(key: Key, *, private: bool) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ImportError:
        raise ToolError("signatures need the cryptography package", where="signature", why="it is not installed", fix="pip install 'edgec[sign]'") from None
    try:
        raw = key if isinstance(key, bytes) else Path(key).read_bytes()
        if not private and len(raw) == 32:
            return ed25519.Ed25519PublicKey.from_public_bytes(raw)
        loaded = load_pem_private_key(raw, None) if private else load_pem_public_key(raw)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError("cannot read the key", where="key" if isinstance(key, bytes) else str(key), why=str(error), fix="pass an unencrypted Ed25519 key in PEM") from None
    wanted = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    if not isinstance(loaded, wanted):
        raise UsageError("the key is of another kind", where="key", why=f"it is a {type(loaded).__name__}", fix="make one with: openssl genpkey -algorithm ed25519")
    return loaded
