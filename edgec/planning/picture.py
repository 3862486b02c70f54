"""The memory plan as a picture: buffers over time, the peak, and what bounds it. SVG text, nothing else needed."""

from __future__ import annotations

from html import escape

from edgec.ir.core import Program
from edgec.plan import Plan
from edgec.planning.buffers import lifetimes

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 420, 64, 16, 44, 150
COLOURS = {
    "input": "#8d99ae", "conv2d": "#3a7ca5", "conv2d_add": "#3a7ca5", "depthwise_conv2d": "#2a9d8f", "dense": "#6a4c93", "add": "#e9a03b", "add_wide": "#e9a03b",
    "average_pool2d": "#b5838d", "max_pool2d": "#b5838d",
    "lookup": "#9a8c98", "softmax": "#c44536", "transpose": "#7f7f7f", "scratch": "#bdbdbd",
}  # fmt: skip
OTHER = "#588157"


def plan_picture(program: Program, plan: Plan) -> str:
    """One SVG: steps of execution from left to right, arena offsets from bottom to top, one box a tensor from the step that
    writes it to the last that reads it. Where an output lies over its own input the two boxes cross. Scratch is hatched.
    A dashed line is the arena; the shaded column is the step that needs most. Hover over a box for its name and bytes.
    """
    life = lifetimes(program)
    maker = {t: op.opcode for op in program.ops for t in op.outputs}
    count = len(program.ops) + 2  # inputs, operators, outputs
    x_of = (WIDTH - LEFT - RIGHT) / count
    top = max(plan.arena_bytes, 1)
    y_of = (HEIGHT - TOP) / top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + BOTTOM}" font-family="system-ui, sans-serif" font-size="11">',
        "<title>Memory plan</title>",
        '<defs><pattern id="scratch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#eeeeee"/><line x1="0" y1="0" x2="0" y2="6" stroke="#888" stroke-width="2"/></pattern></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT + BOTTOM}" fill="#ffffff"/>',
        _text(LEFT, 16, f"{program.name}: arena of {plan.arena_bytes:,} bytes, {_proof(plan)}", size=14),
    ]
    peak = plan.peak_step
    if plan.steps:
        parts.append(_text(LEFT, 32, _shortened(f"needed most by {plan.bound_by}", 150), colour="#a4161a"))
        parts.append(
            _rect(
                LEFT + (peak + 1) * x_of,
                TOP,
                x_of,
                HEIGHT - TOP,
                'fill="#a4161a" fill-opacity="0.12"',
                f"step {peak}: {plan.steps[peak + 1]:,} bytes needed",
            )
        )
    for offset in _ticks(top):
        y = HEIGHT - offset * y_of
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{offset:,}", anchor="end"))
    labels: list[str] = []
    # Large boxes first, so that small ones stay visible on top of them.
    for t in sorted(life, key=lambda t: (-program.tensors[t].nbytes * (life[t][1] - life[t][0] + 1), plan.offsets[t], t)):
        start, end = life[t]
        size, at = program.tensors[t].nbytes, plan.offsets[t]
        opcode = maker.get(t, "input")
        x, y, w, h = LEFT + (start + 1) * x_of, HEIGHT - (at + size) * y_of, (end - start + 1) * x_of, size * y_of
        colour = COLOURS.get(opcode, OTHER)
        shape = "×".join(str(n) for n in program.tensors[t].shape)
        about = f"{t}: {shape}, {size:,} bytes at {at:,}, made by {opcode}, alive from step {start} to {end}"
        parts.append(_rect(x, y, w, h, f'fill="{colour}" fill-opacity="0.55" stroke="{colour}"', about))
        room = int((w - 6) / 6)
        if h >= 13 and room >= 2:
            labels.append(_text(x + 3, y + 11, _shortened(t, room), colour="#1b1b1b"))
        if h >= 26 and room >= len(f"{size:,}"):
            labels.append(_text(x + 3, y + 23, f"{size:,}", colour="#1b1b1b"))
    for step, op in enumerate(program.ops):
        at, size = plan.scratch[op.name]
        if size:
            parts.append(
                _rect(
                    LEFT + (step + 1) * x_of,
                    HEIGHT - (at + size) * y_of,
                    x_of,
                    size * y_of,
                    'fill="url(#scratch)" stroke="#666"',
                    f"scratch of {op.name}: {size:,} bytes at {at:,}",
                )
            )
    parts += labels
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{TOP}" y2="{TOP}" stroke="#a4161a" stroke-dasharray="6 4"/>')
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT}" y2="{HEIGHT}" stroke="#333"/>')
    every = max(1, round(13 / x_of))
    for step, label in enumerate(["inputs", *(op.name for op in program.ops), "outputs"]):
        if step % every and step - 1 != peak:
            continue
        x = LEFT + (step + 0.5) * x_of
        colour = "#a4161a" if step - 1 == peak and plan.steps else "#333333"
        parts.append(f'<g transform="translate({x:.1f} {HEIGHT + 10}) rotate(60)">{_text(0, 4, _shortened(label, 24), colour=colour)}</g>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _proof(plan: Plan) -> str:
    if plan.arena_bytes == plan.lower_bound:
        return "proven to be the least for this order of execution"
    return f"at least {plan.lower_bound:,} are proven to be needed"


def _ticks(top: int) -> list[int]:
    """Four to nine round offsets below the arena's end."""
    step = 1
    while top / step > 9:
        step *= 2
    return list(range(0, top + 1, step))


def _rect(x: float, y: float, w: float, h: float, style: str, about: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0.5):.1f}" height="{max(h, 0.5):.1f}" {style}><title>{escape(about)}</title></rect>'
    )


def _text(x: float, y: float, text: str, *, size: int = 11, colour: str = "#333333", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'


def _shortened(text: str, length: int) -> str:
    """The end of a name tells more than its beginning; of a sentence the beginning does."""
    if len(text) <= length:
        return text
    return text[: max(length - 1, 1)] + "…" if " " in text else "…" + text[-max(length - 1, 1) :]
