"""Every ONNX backend node test ends in a right result or in a clear error."""

import re

import onnx
import pytest

from tests import onnx_nodes
from tests.models import ROOT

PARTS = 12


@pytest.mark.parametrize("part", range(PARTS))
def test_node_tests(part):
    outcomes = [onnx_nodes.outcome(case) for case in onnx_nodes.cases()[part::PARTS]]
    defects = [o for o in outcomes if o.kind == "defect"]
    assert not defects, "\n".join(f"{o.name}: {o.what}" for o in defects)
    assert sum(o.kind == "right" for o in outcomes) >= 10


def test_the_counts_in_the_docs_add_up():
    text = (ROOT / "docs" / "onnx_nodes.md").read_text()
    version, total, right, error, other = re.search(r"onnx (\S+): (\d+) node tests. Right result: (\d+). Clear error: (\d+). Anything else: (\d+).", text).groups()
    assert int(right) + int(error) == int(total) and int(other) == 0
    if version == onnx.__version__:
        assert int(total) == len(onnx_nodes.cases())
