"""Run every ONNX backend node test and write docs/onnx_nodes.md: `python scripts/onnx_nodes.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from edgec.files import write_file  # noqa: E402
from tests import onnx_nodes  # noqa: E402

HEAD = """# ONNX backend node tests

ONNX ships a test for every operator and most of its attributes. Each is compiled from float, with its own inputs as calibration,
and run as int8; `tests/onnx_nodes.py` says what counts as right. Written by `python scripts/onnx_nodes.py`.

"""


def main() -> int:
    outcomes = []
    for i, case in enumerate(onnx_nodes.cases()):
        outcomes.append(onnx_nodes.outcome(case))
        if i % 100 == 0:
            print(f"{i} of {len(onnx_nodes.cases())}", file=sys.stderr, flush=True)
    for o in outcomes:
        if o.kind == "defect":
            print(f"{o.name}: {o.what}")
    write_file(ROOT / "docs" / "onnx_nodes.md", (HEAD + onnx_nodes.table(outcomes)).encode())
    return int(any(o.kind == "defect" for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
