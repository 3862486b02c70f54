"""`pip install .` gives a whole edgec: modules, targets, C sources and templates, used from elsewhere than the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.models import ROOT

USE_IT = """
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in type(f).__module__]  # the checkout must not answer
sys.path.insert(0, sys.argv[1])
import numpy as np
import edgec
assert edgec.__file__.startswith(sys.argv[1])
data = np.load(sys.argv[2] + "/digits.npz")
artifact = edgec.compile(sys.argv[2] + "/digits.onnx", "generic-c", calibration=data["x_calibration"])
q = artifact.quantize_input(data["x_test"][:20])
assert (artifact.run(q) == artifact.run(q, on="interpreter")).all()
assert (edgec.load(artifact.save(sys.argv[3] + "/d.edgec")).run(q) == artifact.run(q)).all()
artifact.export_c(sys.argv[3] + "/c")
assert artifact.report(measure=False)["code_bytes"] > 0
print("usable")
"""


def test_a_wheel_is_whole(tmp_path, needs_tool):
    needs_tool("cmake", "cmake")
    pytest.importorskip(
        "scikit_build_core", reason="scikit-build-core is not installed; enable with: pip install scikit-build-core pybind11 cython"
    )
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.so", "__pycache__", "results"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": "2"})
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("edgec-*.whl")
    place = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
        names = archive.namelist()
    for suffix in (
        "edgec/py.typed",
        "edgec/targets/cortex-m4.toml",
        "edgec/csrc/runtime/edgec.h",
        "edgec/csrc/kernels/kernels.inc",
        "LICENSE",
    ):
        assert any(name.endswith(suffix) for name in names), suffix
    assert not [name for name in names if name.endswith((".pyx", ".o", ".a", ".ninja"))]
    arguments = [str(place), str(ROOT / "examples" / "digits"), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", USE_IT, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0 and "usable" in done.stdout, done.stdout + done.stderr
