"""The MISRA rules that docs/misra.md adopts hold, and a violation is found."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from edgec.emit.kernels import source_folder
from tests.models import ROOT

spec = importlib.util.spec_from_file_location("misra", ROOT / "scripts" / "misra.py")
misra = importlib.util.module_from_spec(spec)
spec.loader.exec_module(misra)

PLANTED = """#include "../dense/dense.h"
int edgec_planted_check(const void *params, const edgec_sizes *sizes);
int edgec_planted_check(const void *params, const edgec_sizes *sizes) {
  int result = 010;
  if (params == NULL) {
    goto end;
  }
  if (sizes != NULL)
    result = 1;
end:
  return result;
}
"""
"""Violates, beside advisory rules: 7.1 an octal constant, 15.6 a body without braces."""


@pytest.mark.slow
def test_adopted_rules_hold_and_a_violation_is_found(needs_tool, tmp_path):
    """One run over a copy with a violation planted: exactly that is found."""
    needs_tool("cppcheck", "cppcheck")
    for part in ("runtime", "kernels"):
        shutil.copytree(source_folder() / part, tmp_path / part)
    (tmp_path / "kernels" / "planted").mkdir()
    (tmp_path / "kernels" / "planted" / "planted_check.c").write_text(PLANTED)
    failed = misra.judge(misra.findings(tmp_path), *misra.exceptions(misra.DOCUMENT.read_text()))
    elsewhere = [line for line in failed if "kernels/planted/" not in line]
    assert not elsewhere, "\n".join(elsewhere)
    assert {"7.1", "15.6"} <= {line.split(" rule ")[1].split(",")[0] for line in failed}


def test_judgement():
    text = "## Rules that are not adopted\n| 1.1, 1.2 | x |\n## Deviations\n| rule | where |\n|---|---|\n| 2.1 | a/*.c | why |\n"
    rules, deviations = misra.exceptions(text)
    assert (rules, deviations) == ({"1.1", "1.2"}, [("2.1", "a/*.c")])
    found = [("1.1", "f.c", 1), ("1.2", "f.c", 1), ("2.1", "a/f.c", 2)]
    assert misra.judge(found, rules, deviations) == []
    assert "b/f.c:2: violates MISRA C:2012 rule 2.1" in misra.judge([*found, ("2.1", "b/f.c", 2)], rules, deviations)[0]
    unused = misra.judge([("1.1", "f.c", 1)], rules, deviations)
    assert len(unused) == 2 and "nothing deviates from rule 2.1" in unused[0] and "rule 1.2 could be adopted" in unused[1]
