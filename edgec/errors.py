"""The one error type a user of edgec meets.

Every message answers four questions: what went wrong, where, why, and what to do. `str(error)` is those four
on four lines; the fields are there for programs (`--json` prints them).
"""

from __future__ import annotations


class EdgecError(Exception):
    """A mistake edgec can explain.

    Args:
        what: one sentence, what went wrong.
        where: file, node (name, operator, shapes), field or argument.
        why: the rule that was broken, with the figures.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str, why: str, fix: str) -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        super().__init__(f"{what}\n  where: {where}\n  why:   {why}\n  fix:   {fix}")

    def __reduce__(self):
        return (_rebuild, (type(self), self.what, self.where, self.why, self.fix))

    def as_dict(self) -> dict[str, str]:
        return {"error": type(self).__name__, "what": self.what, "where": self.where, "why": self.why, "fix": self.fix}


def _rebuild(kind: type[EdgecError], what: str, where: str, why: str, fix: str) -> EdgecError:
    return kind(what, where=where, why=why, fix=fix)


class UsageError(EdgecError):
    """An argument that cannot be used: unknown target, wrong option, wrong type."""

    exit_code = 2


class ModelError(EdgecError):
    """The ONNX model cannot be read, or holds something edgec does not compile."""

    exit_code = 3


class DataError(EdgecError):
    """Calibration or input data of a wrong shape, dtype or content."""

    exit_code = 4


class ArtifactError(EdgecError):
    """A .edgec file that is truncated, altered or of another version."""

    exit_code = 5


class FitError(EdgecError):
    """The network does not fit the target's memory."""

    exit_code = 6


class ToolError(EdgecError):
    """A program or package this step needs is not installed, or failed."""

    exit_code = 7


class MismatchError(EdgecError):
    """Two backends gave different bytes: always a defect of edgec, never of the user."""

    exit_code = 8


class ProgramError(EdgecError):
    """An integer program that breaks a rule of the verifier: a defect of the pass that made it."""

    exit_code = 9
