"""One point of a search: how a network is made smaller, made so, and measured. Everything here can be pickled for another process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgec.compress.passes import Compressed
from edgec.errors import EdgecError
from edgec.search.budget import costs_of
from edgec.search.scores import Likeness

if TYPE_CHECKING:
    from edgec.search.scores import Evaluate

QUICK = {"output_ranges": False}
"""Quantization options for candidates that are only to be ranked."""

ATTEMPTS = 4
"""Tries to meet a limit of weight bytes: a target's packing may add padding that the choice of bits does not know of."""


@dataclass(frozen=True, order=True)
class Candidate:
    """macs: fraction of the float model's that is kept; weights: greatest bytes of all constants in flash, None for 8 bits
    everywhere; distilled: trained against the float model, after pruning and, with 4 bits, after quantization; careful: quantized with the whole ladder, which takes longer
    than what ranks candidates well enough (QUICK); refitted: pruning fitted its weights to the select part too, so that
    this part no longer says anything about the network."""

    macs: float = 1.0
    weights: int | None = None
    distilled: bool = False
    careful: bool = False
    refitted: bool = False

    def __str__(self) -> str:
        parts = [f"{100 * self.macs:.0f} % of the MACs" if self.macs < 1 else "all MACs"]
        parts.append("8-bit weights" if self.weights is None else f"4- and 8-bit weights in {self.weights:,} bytes")
        return ", ".join(parts + ["distilled"] * self.distilled + ["whole ladder"] * self.careful + ["refitted"] * self.refitted)

    def as_dict(self) -> dict[str, Any]:
        return {"macs": self.macs, "weights": self.weights, "distilled": self.distilled, "careful": self.careful, "refitted": self.refitted}

    @property
    def before(self) -> Candidate | None:
        """What its float model is made from: the same width before training, or before it was refitted. None for the given model."""
        if self.macs == 1 or not (self.distilled or self.refitted):
            return None
        return Candidate(self.macs, refitted=self.distilled and self.refitted)


@dataclass(frozen=True)
class Point:
    """What became of a candidate.

    score: of `evaluate`; distance: from the float model's outputs, where `evaluate` measures it; costs: as `search.budget.FIGURES`; data: the artifact; qdq: the quantized ONNX model; error: why there is
    none of these, in words.
    """

    candidate: Candidate
    score: float = float("-inf")
    costs: Mapping[str, int] = field(default_factory=dict)
    bits: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    data: bytes = field(default=b"", repr=False)
    qdq: bytes = field(default=b"", repr=False)
    error: str = ""
    distance: float | None = None

    @property
    def merit(self) -> float:
        """What ranks points: higher is better."""
        return self.score if self.distance is None else -self.distance

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the models."""
        found = {**self.candidate.as_dict(), "name": str(self.candidate)}
        if self.error:
            return found | {"error": self.error}
        costs = {f"{k}_bytes" if k in ("weights", "flash", "ram") else k: v for k, v in self.costs.items()}
        found |= {} if self.distance is None else {"distance": round(self.distance, 6)}
        return found | {"score": self.score, "costs": costs, "bits": dict(self.bits), "seconds": round(self.seconds, 1)}

    def artifact(self) -> Any:
        """The compiled network."""
        from edgec.artifact import Artifact

        return Artifact(self.data)


@dataclass(frozen=True)
class Narrowed:
    """A float model as ONNX bytes, with the reports of the passes that made it; or why there is none, in words."""

    model: bytes = field(default=b"", repr=False)
    reports: tuple[Mapping[str, Any], ...] = ()
    error: str = ""

    def loaded(self) -> Compressed:
        """As it is: it went through the importer and the float passes before the search."""
        import onnx
        import onnx_ir as ir

        return Compressed(ir.from_proto(onnx.load_from_string(self.model)), tuple(dict(r) for r in self.reports))


@dataclass(frozen=True)
class Job:
    """What all candidates of a search share.

    model: the float ONNX model; data: samples that the passes take; compile_options: of `edgec.compile`; distill: options of
    `edgec.Distill`, or None.
    """

    model: Narrowed
    target: Any
    data: Any
    evaluate: Evaluate
    measure: bool
    compile_options: Mapping[str, Any]
    quantize: Mapping[str, Any]
    prune: Mapping[str, Any]
    distill: Mapping[str, Any] | None


def narrow(job: Job, candidate: Candidate, start: Narrowed | None = None) -> Narrowed:
    """The float model with the candidate's fraction of its MACs. start: `candidate.before`, narrowed."""
    import edgec

    try:
        if candidate.macs == 1:
            return job.model
        if start is None:
            made = edgec.Prune(job.data, macs=candidate.macs, **{"keep_select": True, **job.prune})(job.model.loaded())
        elif candidate.distilled:
            made = edgec.Distill(job.data, teacher=job.model.loaded(), **(job.distill or {}))(start.loaded())
        else:
            widths = {g["name"].split(" + ")[0]: g["kept"] for g in start.reports[-1]["groups"]}
            made = edgec.Prune(job.data, channels=widths, **job.prune)(job.model.loaded())
        return Narrowed(made.proto().SerializeToString(), made.reports)
    except EdgecError as error:
        return Narrowed(error=str(error))


def quantize(job: Job, candidate: Candidate, model: Narrowed) -> Point:
    """Quantize, compile, measure and score a float model."""
    start = time.monotonic()
    try:
        return replace(_compiled(job, candidate, model), seconds=time.monotonic() - start)
    except EdgecError as error:
        return Point(candidate, error=str(error))


def quantization_of(made: Compressed) -> Mapping[str, Any]:
    """The report of the quantization, whatever pass came after it."""
    return next(r for r in reversed(made.reports) if "weight_bytes" in r)


def _compiled(job: Job, candidate: Candidate, model: Narrowed) -> Point:
    import edgec
    from edgec.emit.artifact import WEIGHTS, sections_of

    limit = candidate.weights
    for _ in range(ATTEMPTS):
        options = dict(job.quantize) if candidate.careful else {**QUICK, **job.quantize}
        options |= {} if limit is None else {"weight_bytes": limit}
        made = edgec.Quantize(job.data, **options)(model.loaded())
        artifact = edgec.compile(made, job.target, **job.compile_options)
        stored = len(sections_of(artifact.data)[1][WEIGHTS])
        if limit is None or stored <= candidate.weights:
            break
        # What lies in flash beside the layers' weights (tables, padding) is known now; where that does not do, a layer's worth less.
        beside = stored - quantization_of(made)["weight_bytes"]
        limit = min(candidate.weights - beside, limit - (stored - candidate.weights))
    if candidate.distilled and limit is not None:  # the rounding to 4 bits is trained in the program's own arithmetic; bytes stay as many
        made = edgec.Distill(job.data, teacher=job.model.loaded(), **(job.distill or {}))(made)
        artifact = edgec.compile(made, job.target, **job.compile_options)
    score, distance = job.evaluate.judge(artifact) if isinstance(job.evaluate, Likeness) else (float(job.evaluate(artifact)), None)
    costs = costs_of(artifact, measure=job.measure)
    return Point(candidate, score, costs, quantization_of(made)["weight_bits"], data=artifact.data, qdq=made.proto().SerializeToString(), distance=distance)
