"""What each network needs on each emulated device, as a table: `python bench/devices.py [--targets cortex-m4,cortex-m55] [--networks digits] [--json]`.

Arena is exact. Stack is the high-water mark of one inference; instructions are those of one warm inference, both measured under
the emulator; flash is code, constants and the artifact (runtime) or the weights (generated C). Instructions are not cycles.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgec  # noqa: E402
from tests.models import COMMITTED, MLPERF, SHARED, compiled, network  # noqa: E402

COLUMNS = ("network", "target", "macs", "arena_bytes", "engine", "instructions", "stack_bytes", "code_bytes", "flash_bytes")


def measure(name: str, target: str) -> list[dict[str, object]]:
    """One row an engine."""
    artifact = compiled(name, target)
    q = artifact.quantize_input(network(name).samples[:2])
    rows = []
    for engine in ("runtime", "c"):
        run = artifact.run(q, on="qemu", engine=engine)
        stored = len(artifact.data) if engine == "runtime" else run.model_bytes
        values = (name, target, artifact.manifest["macs"], run.arena_bytes, engine, run.instructions, run.stack_bytes, run.code_bytes, run.code_bytes + stored)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default="cortex-m4,cortex-m55")
    parser.add_argument("--networks", default=",".join(COMMITTED[:1] + (MLPERF if SHARED.is_dir() else ())))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.networks.split(","):
        for target in args.targets.split(","):
            try:
                rows += measure(name, target)
            except edgec.EdgecError as error:
                print(f"{name} on {target}: {error}", file=sys.stderr)
    if args.json:
        print(json.dumps(rows))
        return 0
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
