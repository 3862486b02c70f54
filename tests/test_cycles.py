"""The estimate of cycles on Cortex-M4: known sequences cost what Arm's manual says (docs/cycles.md), and nothing else does."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgec import device, targets
from edgec.device import cache as store
from edgec.device import firmware, qemu
from edgec.device.toolchain import Toolchain
from tests.models import compiled, network

# body → cycles of one repetition. r4 holds the address of a word that holds its own address, r5 is 0, r6 is r4 + 1, r7 is
# r4 + 2, r0 to r3 are not 0.
SEQUENCES = {
    "add r0, r0, #1": 1,
    "smlad r0, r1, r2, r0": 1,
    "smmlar r0, r1, r2, r0": 1,
    "sxtb16 r0, r1, ror #8": 1,
    "umull r0, r1, r2, r3": 1,
    "smlal r0, r1, r2, r3": 1,
    "udiv r0, r1, r2": 12,
    # single loads and stores
    "ldr r0, [r4]": 1,
    "ldr r0, [r4]; nop": 3,
    "ldr r0, [r4]; ldr r1, [r4]; nop": 4,
    "ldr r0, [r4]; ldrb r1, [r4, #1]; ldrsh r2, [r4, #2]; nop": 5,
    "ldr r0, [r4, r5]; ldr.w r1, [r4], #0; nop": 4,
    "ldr r4, [r4]": 2,
    "str r0, [r6, #3]": 1,
    "str r0, [r6, r5]": 2,
    "ldr r0, [r4]; str r0, [r8, r5]": 3,
    "ldr r0, [r4]; str r0, [r8, #20]": 3,
    "str r0, [r8, r5]; ldr r0, [r4]; nop": 5,
    "add r4, r4, #0; ldr r0, [r4]": 4,
    "add r4, r4, #0; nop; ldr r0, [r4]": 4,
    "mul r0, r0, r5; ldr.w r1, [r4, r0]": 4,
    "add r8, r8, #0; str r0, [r8]": 3,
    "ldr r0, [r6]; nop": 5,
    "ldr r0, [r7]; nop": 4,
    "ldrh r0, [r6]; nop": 4,
    "str r0, [r9]": 1,
    # several words
    "ldm r4, {r0-r3}": 5,
    "ldm r4, {r0, r1}; ldr r1, [r4]": 5,
    "ldrd r0, r1, [r4]": 3,
    "strd r0, r1, [r8]": 3,
    "push {r0-r3}; pop {r0-r3}": 10,
    "stmdb sp!, {r0-r2}; ldm sp!, {r0-r2}": 8,
    # branches
    "b 1f; nop; 1:": 3,
    "cmp r0, #0; beq 1f; nop; 1:": 3,
    "cbz r0, 1f; nop; 1:": 2,
    "cbz r5, 1f; nop; 1:": 3,
    "bl edgec_leaf": 6,
    "bl edgec_leaf_of_stack": 3 + 2 + 5,
    "tbb [pc, r5]; .byte 1, 1": 6,
    "ldr.w pc, 1f; .align 2; 1: .word 2f + 1; 2:": 5,
    # conditions
    "cmp r0, r0; it ne; addne r1, r1, #1": 2,
    "cmp.w r0, r0; it ne; addne r1, r1, #1": 3,
    "cmp.w r0, r0; it ne; ldrne r1, [r4]": 3,
    "cmp.w r0, r0; it eq; ldreq r1, [r4]": 4,
    "cmp.w r0, r0; ite eq; ldmeq r4, {r0, r1}; ldrne r1, [r4]": 6,
    "cmp.w r0, r0; it eq; beq 1f; nop; 1:": 5,
    # floating point: a compiler may keep words in its registers
    "vmov s0, r0": 1,
    "vmov r0, r1, s0, s1": 2,
    "vldr s0, [r4]": 2,
    "vldr d0, [r4]": 3,
    "vldmia r4, {s0-s3}": 5,
    "vmla.f32 s0, s1, s2": 3,
    "vdiv.f32 s0, s1, s2": 14,
}
RANGES = {"udiv r0, r1, r2": (2, 12), "b 1f; nop; 1:": (2, 4), "bl edgec_leaf": (4, 8), "tbb [pc, r5]; .byte 1, 1": (6, 6)}
FEW, MANY = 3, 13


PREPARE = """"push {r4-r11, lr}\\n ldr r4, [pc, #0]\\n b 1f\\n .word edgec_words\\n1: str r4, [r4]\\n str r4, [r4, #4]\\n"
  " mov r5, #0\\n add r6, r4, #1\\n add r7, r4, #2\\n add r8, r4, #8\\n add r9, r4, #9\\n"
  " mov r0, #1\\n mov r1, #2\\n mov r2, #3\\n mov r3, #4\\n"
"""


def engine() -> str:
    """A header like tests/device_engine.h whose run executes every sequence FEW and MANY times, each between two marks."""
    declared, functions, calls = [], [], []
    for number, body in enumerate(SEQUENCES):
        lines = "".join(f'"{line.strip()}\\n"' for line in body.split(";"))
        for times in (FEW, MANY):
            name = f"edgec_sequence_{number}_{times}"
            declared.append(f"static void {name}(void) __attribute__((naked, noinline, aligned(8)));")
            text = f'{PREPARE}".rept {times}\\n" {lines} ".endr\\n pop {{r4-r11, pc}}\\n"'
            functions.append(f"static void {name}(void) {{ __asm__ volatile({text}); }}")
            calls.append(f"  (void)edgec_harness_mark();\n  {name}();\n  (void)edgec_harness_mark();\n")
    return f"""#include "firmware/engine.h"
static uint32_t engine_open(uint8_t *arena, uint32_t bytes) {{ (void)arena, (void)bytes; return 0u; }}
static uint32_t engine_inputs(void) {{ return 1u; }}
static uint32_t engine_outputs(void) {{ return 1u; }}
static engine_span engine_input(uint8_t *arena, uint32_t i) {{ const engine_span s = {{arena + i, 1u}}; return s; }}
static engine_span engine_output(uint8_t *arena, uint32_t i) {{ const engine_span s = {{arena + i, 1u}}; return s; }}
static void engine_trace(void) {{}}
uint32_t edgec_words[16];
__asm__(".text\\n.thumb\\n.syntax unified\\n.type edgec_leaf, %function\\nedgec_leaf: bx lr\\n"
        ".type edgec_leaf_of_stack, %function\\nedgec_leaf_of_stack: push {{lr}}\\n pop {{pc}}\\n");
{chr(10).join(declared)}
{chr(10).join(functions)}
static void engine_run(uint8_t *arena) {{
  (void)arena;
{"".join(calls)}  __asm__ volatile("nop"); /* else the last mark is jumped to, not called */
}}
"""


def test_sequences_cost_what_the_manual_says(needs_target, tmp_path, monkeypatch):
    needs_target("cortex-m4")
    target = targets.load("cortex-m4")
    text = engine()
    (tmp_path / "engine.h").write_text(text)
    config = f'#define EDGEC_HARNESS_ENGINE "{tmp_path / "engine.h"}"\n/* {store.key(text)} */\n'
    elf = firmware.link_harness(tmp_path, Toolchain(target), target.emulator, [], config, 2)
    logs = []
    monkeypatch.setattr(qemu, "_cycles", lambda folder, *_: logs.append((folder / "cycles.log").read_text()) or (None, None, ""))
    qemu.execute(elf, target.emulator, np.zeros((1, 1), np.int8), 1, measure=True, trace=False, model="cortex-m4")
    marks = np.array(re.findall(r"edgec cycles \d+ (\d+) (\d+) (\d+)", logs[0])).astype(np.int64)
    runs = (marks[1::2] - marks[::2])[: 2 * len(SEQUENCES)]
    each = (runs[1::2] - runs[::2]) / (MANY - FEW)
    got = {body: row[0] for body, row in zip(SEQUENCES, each, strict=True)}
    assert got == SEQUENCES
    assert {body: tuple(row[1:]) for body, row in zip(SEQUENCES, each, strict=True) if body in RANGES} == RANGES


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_cycles_of_a_network(engine, needs_target):
    """The plugin sees every instruction that the emulator's counter counts (else no estimate), the same in every run."""
    needs_target("cortex-m4")
    artifact = compiled("digits", "cortex-m4")
    q = artifact.quantize_input(network("digits").samples[:1])
    first, second = (artifact.run(q, on="qemu", engine=engine) for _ in range(2))
    assert first.cycles == second.cycles and "docs/cycles.md" in first.cycles_source
    assert first.instructions < first.cycles_range[0] <= first.cycles <= first.cycles_range[1] < 2 * first.instructions


def test_no_estimate_is_said(needs_target, monkeypatch):
    needs_target("cortex-m3")
    needs_target("cortex-m4")
    run = device_run("cortex-m3")
    assert run.cycles is None and run.cycles_range is None and "no model" in run.cycles_source
    monkeypatch.setattr(qemu, "_about", lambda path: (7, False))
    run = device_run("cortex-m4")
    assert run.cycles is None and "without plugins" in run.cycles_source and run.instructions > 0


def device_run(target: str) -> device.DeviceRun:
    artifact = compiled("digits", target)
    return artifact.run(artifact.quantize_input(network("digits").samples[:1]), on="qemu")


def test_an_estimate_of_other_instructions_is_refused(tmp_path):
    (tmp_path / "cycles.log").write_text("".join(f"edgec cycles {n} {n} {n} {n}\n" for n in (10, 20, 30, 140)))
    assert qemu._cycles(tmp_path, "model", 100) == (100, (100, 100), "model")
    assert qemu._cycles(tmp_path, "model", 101)[0] is None
    (tmp_path / "cycles.log").write_text("edgec cycles 1 1 1 1\n")
    assert "1 marks of 4" in qemu._cycles(tmp_path, "model", 1)[2]
