"""csrc/runtime/edgec_integrity.c: SHA-512 against hashlib, and what edgec_verify and edgec_verify_signature refuse."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import programs
import pytest

from edgec.emit import artifact, sign
from edgec.emit.kernels import select, source_folder
from edgec.ir.core import Program
from edgec.plan import make_plan
from edgec.targets import load

OK, TRUNCATED, MAGIC, VERSION, HEADER, INTEGRITY, SIGNATURE, ROLLBACK = 0, 2, 3, 4, 5, 10, 11, 12
CHECK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_uint8)] * 3, ctypes.c_size_t)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed; enable with: apt-get install gcc")
    folder: Path = tmp_path_factory.mktemp("integrity")
    sources = [source_folder() / "runtime" / f for f in ("edgec_integrity.c", "edgec_sha512.c")]
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, *sources, "-o", folder / "integrity.so"], check=True)
    built = ctypes.CDLL(str(folder / "integrity.so"))
    built.edgec_verify.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    built.edgec_verify_signature.argtypes = [ctypes.c_char_p, ctypes.c_size_t, CHECK, ctypes.c_void_p, ctypes.c_uint32]
    return built


def sha512(library: ctypes.CDLL, *parts: bytes) -> bytes:
    state = ctypes.create_string_buffer(512)
    digest = ctypes.create_string_buffer(64)
    library.edgec_sha512_begin(state)
    for part in parts:
        library.edgec_sha512_add(state, part, ctypes.c_size_t(len(part)))
    library.edgec_sha512_end(state, digest)
    return digest.raw


def encode(program: Program, **options) -> bytes:
    target = load("generic-c")
    kernels = [select(op, target) for op in program.ops]
    return artifact.encode(program, make_plan(program, kernels), kernels, target, {"note": "test"}, **options)


class Signer:
    """A key pair, and a device's check by the cryptography package: an implementation that is not edgec's."""

    def __init__(self) -> None:
        ed25519 = pytest.importorskip(
            "cryptography.hazmat.primitives.asymmetric.ed25519",
            reason="cryptography is not installed; enable with: pip install 'edgec[sign]'",
        )
        from cryptography.hazmat.primitives import serialization

        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.public_key = key.public_key().public_bytes_raw()
        plain = serialization.NoEncryption()
        self.private_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)

    def sign(self, data: bytes) -> bytes:
        return sign.sign(data, self.private_pem)

    def callback(self, trusted: bytes):
        """A device's check: is this a key it trusts, and is the signature right?"""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        def check(_user, public_key, signature, message, message_bytes):
            key = bytes(public_key[:32])
            if key != trusted:
                return 0
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(bytes(signature[:64]), bytes(message[:message_bytes]))
            except InvalidSignature:
                return 0
            return 1

        return CHECK(check)


@pytest.fixture(scope="module")
def plain() -> bytes:
    return encode(programs.random_program(1, ops=3))


def test_sha512_of_every_length_up_to_three_blocks(library):
    data = np.random.default_rng(0).bytes(400)
    for n in range(400):
        assert sha512(library, data[:n]) == hashlib.sha512(data[:n]).digest(), n
    assert sha512(library, b"a" * 1_000_000).hex().startswith("e718483d0ce769644e2e42c7bc15b463")  # FIPS 180-4, NIST's example


def test_sha512_in_parts(library):
    rng = np.random.default_rng(1)
    for _ in range(50):
        parts = [rng.bytes(int(n)) for n in rng.integers(0, 300, 5)]
        assert sha512(library, *parts) == hashlib.sha512(b"".join(parts)).digest()


def test_artifacts_as_written_are_accepted(library, plain):
    for data in (plain, plain + b"what follows in flash", encode(programs.ds_cnn()), encode(programs.resnet8())):
        assert library.edgec_verify(data, len(data)) == OK


def test_every_flipped_bit_is_refused(library, plain):
    data = bytearray(plain)
    for position in range(len(plain)):
        for bit in range(8):
            data[position] ^= 1 << bit
            assert library.edgec_verify(bytes(data), len(data)) != OK, f"bit {bit} of byte {position}"
            data[position] ^= 1 << bit


def test_every_truncation_is_refused(library, plain):
    for n in range(len(plain)):
        assert library.edgec_verify(plain[:n], n) == TRUNCATED


def test_what_is_refused_has_its_name(library, plain):
    def altered(position: int, value: int) -> int:
        data = bytearray(plain)
        data[position] = value
        return library.edgec_verify(bytes(data), len(data))

    assert altered(0, 0) == MAGIC
    assert altered(4, 99) == VERSION
    assert altered(36, 0) == altered(36, 200) == HEADER
    assert altered(28, 7) == altered(100, plain[100] ^ 1) == altered(len(plain) - 1, plain[-1] ^ 1) == INTEGRITY
    assert library.edgec_verify(None, 0) == 1


def test_section_table_may_not_lie_even_with_a_right_hash(library, plain):
    """Somebody who can recompute hashes still cannot make the walk leave the file or skip bytes."""
    for field, value in ((132, len(plain) + 16), (132, 0), (136, 2**32 - 1), (136, 0), (196, 0xFFFFFFF0)):
        data = bytearray(plain)
        data[field : field + 4] = value.to_bytes(4, "little")
        end = 128 + 64 * data[36]
        data[96:128] = hashlib.sha512(data[:96] + data[128:end]).digest()[:32]
        assert library.edgec_verify(bytes(data), len(data)) in (HEADER, INTEGRITY), field


def test_signature(library):
    signer = Signer()
    data = signer.sign(encode(programs.random_program(2, ops=2), security_counter=5))
    trusted = signer.callback(signer.public_key)
    verify = library.edgec_verify_signature
    assert library.edgec_verify(data, len(data)) == OK
    assert verify(data, len(data), trusted, None, 0) == OK
    assert verify(data, len(data), trusted, None, 5) == OK
    assert verify(data, len(data), trusted, None, 6) == ROLLBACK
    assert verify(data, len(data), signer.callback(bytes(32)), None, 0) == SIGNATURE
    assert verify(data, len(data), CHECK(), None, 0) == 1

    unsigned = encode(programs.random_program(2, ops=2), security_counter=5)
    assert verify(unsigned, len(unsigned), trusted, None, 0) == SIGNATURE


def test_every_flipped_byte_of_a_signed_artifact_is_refused(library):
    signer = Signer()
    data = bytearray(signer.sign(encode(programs.random_program(2, ops=2))))
    trusted = signer.callback(signer.public_key)
    for position in range(len(data)):
        data[position] ^= 0x10
        status = library.edgec_verify_signature(bytes(data), len(data), trusted, None, 0)
        assert status != OK, position
        if position >= len(data) - 96:
            assert status == SIGNATURE
        data[position] ^= 0x10
