"""edgec: a trained float ONNX model in, the smallest and fastest integer program out, the same bytes on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Artifact", "ArtifactError", "Calibration", "DataError", "Distill", "EdgecError", "FitError", "MismatchError", "ModelError", "ProgramError", "Prune",
    "Quantize", "Target", "ToolError", "UsageError", "compare", "compile", "load", "targets",
]  # fmt: skip

if TYPE_CHECKING:
    from edgec import targets
    from edgec.artifact import Artifact, load
    from edgec.comparison import compare
    from edgec.compiler import compile
    from edgec.compress.passes import Distill, Prune, Quantize
    from edgec.data import Calibration
    from edgec.errors import ArtifactError, DataError, EdgecError, FitError, MismatchError, ModelError, ProgramError, ToolError, UsageError
    from edgec.targets import Target

_HOME = {
    "Artifact": "artifact", "load": "artifact", "compare": "comparison", "compile": "compiler", "Target": "targets", "targets": "targets",
    "Calibration": "data", "Prune": "compress.passes", "Distill": "compress.passes", "Quantize": "compress.passes",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first used: `import edgec` alone costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'edgec' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"edgec.{_HOME.get(name, 'errors')}")
    value = module if name == "targets" else getattr(module, name)
    globals()[name] = value
    return value
