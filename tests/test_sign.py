"""Signed artifacts: made, accepted, refused."""

import builtins

import pytest

import edgec
from edgec.errors import ArtifactError, ToolError, UsageError
from edgec.ir.text import to_text
from tests.models import compiled

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519", reason="needs cryptography; enable with: pip install 'edgec[sign]'")


def keys():
    from cryptography.hazmat.primitives import serialization as s

    private = ed25519.Ed25519PrivateKey.generate()
    return (
        private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()),
        private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo),
    )


def test_signed_artifact_is_accepted_and_runs_the_same(tmp_path):
    private, public = keys()
    artifact = compiled("digits", "generic-c")
    signed = artifact.sign(private)
    path = signed.save(tmp_path / "s.edgec")
    loaded = edgec.load(path, trusted_keys=[public])
    assert to_text(loaded.program) == to_text(artifact.program) and loaded.plan == artifact.plan
    assert signed.sign(private).data == signed.data  # Ed25519 is deterministic, and the old signature is replaced
    assert len(signed.data) - len(artifact.data) <= 64 + 96 + 32


def test_refusals(tmp_path):
    private, public = keys()
    _, stranger = keys()
    artifact = compiled("digits", "generic-c")
    unsigned, signed = artifact.save(tmp_path / "u.edgec"), artifact.sign(private).save(tmp_path / "s.edgec")
    with pytest.raises(ArtifactError, match="no signature"):
        edgec.load(unsigned, trusted_keys=[public])
    with pytest.raises(ArtifactError, match="not among"):
        edgec.load(signed, trusted_keys=[stranger])
    forged = bytearray(signed.read_bytes())
    forged[-96] ^= 1
    signed.write_bytes(forged)
    with pytest.raises(ArtifactError, match="does not fit"):
        edgec.load(signed, trusted_keys=[public])
    with pytest.raises(UsageError):
        artifact.sign(b"not a key")


def test_without_the_package_the_error_names_it(tmp_path, monkeypatch):
    path = compiled("digits", "generic-c").save(tmp_path / "u.edgec")
    real = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ToolError, match="edgec\\[sign\\]"):
        edgec.load(path, trusted_keys=[b"x" * 32])
