"""What is counted in compiled programs against arithmetic: FLOPs, bytes, collectives, time."""

from __future__ import annotations

from typing import Any

import pytest
from compiled_programs import compiled, needs_compiler

from vsfa_jax.planning import assumptions, collectives, hlo, matmuls, memory, scopes, traffic
from vsfa_jax.planning.chips import CHIPS, chip_of
from vsfa_jax.planning.collectives import Collective, Fabric
from vsfa_jax.planning.cost import Cost, Kernel, KernelWork, Work, kernel_of, measure
from vsfa_jax.planning.roofline import roofline

FABRIC = Fabric({"rows": 2, "columns": 2}, slices=(0, 0, 1, 1))
T, D, L = 512, 1024, 5  # of programs_for_tpu.py


def no_kernel(kernel: Kernel) -> float:
    raise AssertionError(kernel)


def cost(name: str, **given: Any) -> Cost:
    return measure(hlo.parse(compiled(name)["text"]), FABRIC, no_kernel, **given)


# What the compiler writes, in short.

LOOP = """\
HloModule jit_f, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias), {1, 2}: (3, {4}) }

%fused (p.0: bf16[8,64], p.1: bf16[6,64,64], p.2: s32[]) -> bf16[8,64] {
  %p.0 = bf16[8,64]{1,0:T(8,128)(2,1)} parameter(0)
  %p.1 = bf16[6,64,64]{2,1,0:T(8,128)(2,1)} parameter(1)
  %p.2 = s32[]{:T(128)} parameter(2)
  %zero = s32[]{:T(128)} constant(0)
  %slice = bf16[1,64,64]{2,1,0:T(8,128)(2,1)} dynamic-slice(%p.1, %p.2, %zero, %zero), dynamic_slice_sizes={1,64,64}
  %view = bf16[64,64]{1,0:T(8,128)(2,1)} bitcast(%slice)
  ROOT %product = bf16[8,64]{1,0:T(8,128)(2,1)} convolution(%p.0, %view), dim_labels=bf_io->bf, metadata={op_name="jit(f)/jvp(language)/while/body/dot_general" stack_frame_id=3}
}

%body (b: (s32[], bf16[8,64], bf16[6,64,64], s32[])) -> (s32[], bf16[8,64], bf16[6,64,64], s32[]) {
  %b = (s32[]{:T(128)}, bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, /*index=2*/bf16[6,64,64]{2,1,0:T(8,128)(2,1)}, s32[]{:T(128)}) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%b), index=0
  %x = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%b), index=1
  %w = bf16[6,64,64]{2,1,0:T(8,128)(2,1)} get-tuple-element(%b), index=2
  %one = s32[]{:T(128)} get-tuple-element(%b), index=3
  %next = s32[]{:T(128)} add(%counter, %one)
  %y = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} fusion(%x, %w, %counter), kind=kOutput, calls=%fused
  ROOT %out = (s32[]{:T(128)}, bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, bf16[6,64,64]{2,1,0:T(8,128)(2,1)}, s32[]{:T(128)}) tuple(%next, %y, %w, %one)
}

%until (c: (s32[], bf16[8,64], bf16[6,64,64], s32[])) -> pred[] {
  %c = (s32[]{:T(128)}, bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, bf16[6,64,64]{2,1,0:T(8,128)(2,1)}, s32[]{:T(128)}) parameter(0)
  %now = s32[]{:T(128)} get-tuple-element(%c), index=0
  %last = s32[]{:T(128)} constant(BOUND)
  ROOT %less = pred[]{:T(512)} compare(%now, %last), direction=DIRECTION
}

ENTRY %main (a.0: bf16[6,64,64], a.1: bf16[8,64]) -> bf16[8,64] {
  %a.0 = bf16[6,64,64]{2,1,0:T(8,128)(2,1)} parameter(0)
  %a.1 = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} parameter(1)
  %start = s32[]{:T(128)} constant(START)
  %step = s32[]{:T(128)} constant(STEP)
  %copied = s32[]{:T(128)} copy(%start)
  %carry = (s32[]{:T(128)}, bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, bf16[6,64,64]{2,1,0:T(8,128)(2,1)}, s32[]{:T(128)}) tuple(%copied, %a.1, %a.0, %step)
  %loop = (s32[]{:T(128)}, bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, bf16[6,64,64]{2,1,0:T(8,128)(2,1)}, s32[]{:T(128)}) while(%carry), condition=%until, body=%body
  ROOT %result = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def loop(start: int = 0, bound: int = 6, step: int = 1, direction: str = "LT") -> hlo.Program:
    words = {"START": start, "BOUND": bound, "STEP": step, "DIRECTION": direction}
    text = LOOP
    for word, value in words.items():
        text = text.replace(word, str(value))
    return hlo.parse(text)


def test_a_program_is_read() -> None:
    program = loop()
    assert [*program.computations] == ["fused", "body", "until", "main"]
    assert program.entry.name == "main"
    assert program.aliases == (hlo.Alias((0,), 0, ()), hlo.Alias((1, 2), 3, (4,)))
    product = program.computations["fused"].root
    assert (product.name, product.opcode) == ("product", "convolution")
    assert product.op_name == "jit(f)/jvp(language)/while/body/dot_general"
    assert [one.name for one in program.computations["fused"].parameters] == ["p.0", "p.1", "p.2"]
    [carry, *_] = program.computations["body"].parameters
    assert [array.dims for array in carry.arrays] == [(), (8, 64), (6, 64, 64), ()]
    assert [array.space for array in carry.arrays] == [hlo.HBM, hlo.VMEM, hlo.HBM, hlo.HBM]


@pytest.mark.parametrize(
    ("text", "plain", "padded"),
    [
        ("bf16[8,64]{1,0:T(8,128)(2,1)}", 1024, 2048),
        ("bf16[9,128]{1,0:T(8,128)(2,1)}", 2304, 4096),
        ("bf16[9,128]{0,1:T(8,128)(2,1)}", 2304, 32768),  # the other way round
        ("f32[]{:T(128)}", 4, 512),
        ("pred[3]", 3, 3),
        ("s4[5]{0}", 3, 3),
        ("token[]", 0, 0),
    ],
)
def test_bytes_of_an_array(text: str, plain: int, padded: int) -> None:
    array = hlo.parse_shape(text)
    assert isinstance(array, hlo.Array)
    assert (array.bytes, array.padded_bytes) == (plain, padded)


def test_shapes_nest() -> None:
    shape = hlo.parse_shape("((f32[2]{0}), bf16[1,8]{1,0:T(8,128)(2,1)S(1)}, s32[]{:S(2)})")
    assert isinstance(shape, tuple) and isinstance(shape[0], tuple)
    assert [array.space for array in hlo.leaves(shape)] == [0, 1, 2]


@pytest.mark.parametrize("text", ["HloModule nothing\n", LOOP.replace("ENTRY ", "")])
def test_a_text_without_a_program_is_refused(text: str) -> None:
    with pytest.raises(hlo.HloError, match="no ENTRY"):
        hlo.parse(text)


def test_a_line_that_is_no_instruction_is_refused() -> None:
    with pytest.raises(hlo.HloError, match="wanted an instruction"):
        hlo.parse(LOOP.replace("%one = s32", "one is s32"))


@pytest.mark.parametrize(
    ("given", "trips"),
    [
        ({}, 6),
        ({"start": 2, "step": 3}, 2),
        ({"start": 9}, 0),
        ({"start": 1, "bound": 6, "direction": "LE"}, 6),
        ({"start": 5, "bound": 0, "step": -1, "direction": "GT"}, 5),
        ({"start": 5, "bound": 0, "step": -2, "direction": "GE"}, 3),
        ({"start": 0, "bound": 8, "step": 2, "direction": "NE"}, 4),
    ],
)
def test_trips_and_flops_of_a_loop(given: dict[str, Any], trips: int) -> None:
    """The step stands outside the loop, which carries it along."""
    found = measure(loop(**given), FABRIC, no_kernel)
    assert found.total.matmul_flops == trips * 2 * 8 * 64 * 64
    assert found.total.hbm_bytes >= trips * 64 * 128 * 2  # a layer's weights, padded


@pytest.mark.parametrize("given", [{"step": 0}, {"direction": "EQ"}, {"step": -1}])
def test_a_loop_that_does_not_count_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(hlo.HloError, match="loop loop in main"):
        measure(loop(**given), FABRIC, no_kernel)
    found = measure(loop(**given), FABRIC, no_kernel, trips=lambda _: 2.5)
    assert found.total.matmul_flops == 2.5 * 2 * 8 * 64 * 64


def test_a_fusion_reads_what_it_slices() -> None:
    body = loop().computations["body"]
    moved = traffic.hbm_bytes(loop(), body, body.instructions["y"])
    counter, layer = 512, 64 * 128 * 2
    assert moved == counter + layer + 2 * 8 * 128 * 2  # and its other operand and result


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}", 2 * 4 * 6 * 8),
        ("convolution(%a, %b), dim_labels=bf_io->bf", 2 * 4 * 6 * 8),
    ],
)
def test_flops_of_a_product(line: str, wanted: int) -> None:
    assert _flops("f32[4,6]", "f32[6,8]", "f32[4,8]", line) == wanted


def _flops(left: str, right: str, out: str, line: str) -> float:
    text = (
        f"ENTRY %main (a: {left}, b: {right}) -> {out} {{\n  %a = {left} parameter(0)\n"
        f"  %b = {right} parameter(1)\n  ROOT %c = {out} {line}\n}}\n"
    )
    entry = hlo.parse(text).entry
    return matmuls.flops(entry, entry.root)


def test_only_positions_that_meet_an_input_count() -> None:
    # a batch of 2 written as a window: kernel position k of output o meets input o + k - 1
    line = "convolution(%a, %b), window={size=2 pad=1_1 rhs_reversal=1}, dim_labels=b0f_0io->b0f"
    whole = 2 * 3 * 4 * 5  # one pair of positions
    assert _flops("f32[3,1,4]", "f32[2,4,5]", "f32[3,2,5]", line) == 2 * whole
    line = line.replace("pad=1_1 rhs_reversal=1", "stride=1 pad=1_1 lhs_dilate=2")
    assert _flops("f32[3,2,4]", "f32[2,4,5]", "f32[3,4,5]", line) == 4 * whole


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ("replica_groups={{0,1},{2,3}}, dimensions={0}", ((0, 1), (2, 3))),
        ("replica_groups={}, use_global_device_ids=true", ((0, 1, 2, 3),)),
        ("replica_groups=[2,2]<=[4], dimensions={0}", ((0, 1), (2, 3))),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'b'}, dimensions={1}", ((0, 1), (2, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'b','a'}", ((0, 2, 1, 3),)),
        ("replica_groups=mesh['a'=4] {'a':(2)2}", ((0, 1), (2, 3))),
        ("replica_groups=mesh['a'=4] {'a':(1)2}", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'b'}", ((0, 2), (1, 3))),
        ("channel_id=1, source_target_pairs={{0,1},{1,0}}", ((0, 1), (1, 0))),
    ],
)
def test_groups_of_a_collective(attributes: str, wanted: collectives.Groups) -> None:
    assert collectives.groups(attributes, 4) == wanted


def test_groups_in_a_form_that_is_not_known_are_refused() -> None:
    with pytest.raises(hlo.HloError, match="replica_groups"):
        collectives.groups("replica_groups=all", 4)


def test_a_transfer_between_slices_is_read() -> None:
    transfer = '_xla_megascale_transfer_type="ALL_REDUCE"'
    text = f"""\
HloModule jit_f, num_partitions=2

ENTRY %main (a: f32[8,128]) -> f32[8,128] {{
  %a = f32[8,128]{{1,0}} parameter(0)
  %t = token[] after-all()
  %s = (f32[8,128]{{1,0}}, u32[], token[]) send(%a, %t), frontend_attributes={{{transfer}}}
  %r = (f32[8,128]{{1,0}}, u32[], token[]) recv(%t), frontend_attributes={{{transfer}}}
  %d = token[] send-done(%s)
  %e = (f32[8,128]{{1,0}}, token[]) recv-done(%r)
  ROOT %x = f32[8,128]{{1,0}} get-tuple-element(%e), index=0
}}
"""
    program = hlo.parse(text)
    assert program.partitions == 2
    [one] = measure(program, FABRIC, no_kernel).collectives
    assert (one.kind, one.payload_bytes, one.crosses_slices) == ("all-reduce", 4096, True)
    assert (one.groups, one.axes) == (((0, 2), (1, 3)), ("rows",))
    assert FABRIC.placed(((0, 1),), 2) == ((0, 1),)
    with pytest.raises(hlo.HloError, match="for 3 devices: the mesh has 4"):
        FABRIC.placed(((0, 1),), 3)


def test_axes_and_slices_that_groups_cross() -> None:
    fabric = Fabric({"data": 2, "fsdp": 4}, slices=(0, 0, 0, 0, 1, 1, 1, 1))
    along_fsdp = ((0, 1, 2, 3), (4, 5, 6, 7))
    assert (fabric.crossed(along_fsdp), fabric.crosses_slices(along_fsdp)) == (("fsdp",), False)
    along_data = ((0, 4), (1, 5), (2, 6), (3, 7))
    assert (fabric.crossed(along_data), fabric.crosses_slices(along_data)) == (("data",), True)
    assert fabric.crossed((tuple(range(8)),)) == ("data", "fsdp")


@needs_compiler
def test_layers_are_counted() -> None:
    found = cost("layers")
    assert found.total.matmul_flops == L * 2 * (T // 4) * D * D
    arguments = L * D * D * 2 + T // 4 * D * 2
    assert arguments <= found.total.hbm_bytes < 1.1 * arguments
    assert found.collectives == ()


@needs_compiler
def test_a_gradient_is_counted() -> None:
    """Forward, again for the backward pass, and two products of that."""
    found = cost("gradient")
    assert found.total.matmul_flops * 4 == 4 * L * 2 * T * D * D
    again = {name: work for name, work in found.by_op_name.items() if "rematted" in name}
    assert sum(work.matmul_flops for work in again.values()) * 4 == L * 2 * T * D * D
    assert all(scopes.is_rematerialised(name) and scopes.is_backward(name) for name in again)
    assert {scopes.scope_of(name) for name in again} == {"language"}
    reduced = [one for one in found.collectives if "rows" in one.axes and one.executions == L]
    assert [one.kind for one in reduced] == ["all-reduce"]  # of the gradient, over rows


@needs_compiler
def test_collectives_are_counted() -> None:
    size = T * D * 2
    wanted = {
        ("all-reduce", ("rows",)): (size, size),
        ("all-reduce", ("rows", "columns")): (size, 2 * size * 3 / 4),
        ("all-gather", ("columns",)): (2 * size, size),
        ("reduce-scatter", ("columns",)): (size, size / 2),
        ("all-to-all", ("rows",)): (size, size / 2),
        ("collective-permute", ("rows",)): (size, size),
    }
    found = {(one.kind, one.axes): one for one in cost("talk").collectives}
    assert {key: (one.payload_bytes, one.sent_bytes) for key, one in found.items()} == wanted
    assert all(one.executions == 1 for one in found.values())
    assert all(one.crosses_slices == ("rows" in one.axes) for one in found.values())


@needs_compiler
def test_a_program_that_does_not_fit_says_by_how_much() -> None:
    refusal = memory.read_refusal(compiled("too_large")["failure"])
    assert refusal is not None
    assert refusal.available_bytes == CHIPS["v5e"].usable_hbm_bytes
    assert refusal.used_bytes > 24 * 2**30


@needs_compiler
@pytest.mark.slow
def test_nested_loops_branches_and_batches() -> None:
    assert cost("nested").total.matmul_flops == 3 * L * 2 * (T // 4) * D * D
    layer = 2 * (T // 2) * D * D
    assert cost("either").total.matmul_flops == L * 2 * layer
    found = cost("either", shares=lambda _: (3 / 5, 2 / 5))
    assert found.total.matmul_flops == pytest.approx(3 * 2 * layer + 2 * layer)
    with pytest.raises(hlo.HloError, match="3 shares for 2"):
        cost("either", shares=lambda _: (1, 0, 0))
    assert cost("heads").total.matmul_flops * 2 == 2 * 8 * T * T * D / 8  # over rows


@needs_compiler
@pytest.mark.slow
def test_slices_speak_through_the_host() -> None:
    """A sum over both axes is one within each slice, of a part between them, and a gather."""
    fabric = Fabric({"rows": 2, "columns": 4}, slices=(0, 0, 0, 0, 1, 1, 1, 1))
    program = hlo.parse(compiled("talk_across")["text"])
    found = measure(program, fabric, no_kernel).collectives
    size = T * D * 2
    away = sorted((one.kind, one.payload_bytes) for one in found if one.crosses_slices)
    assert away == [
        ("all-reduce", size // 4),
        ("all-reduce", size),
        ("all-to-all", size),
        ("collective-permute", size),
    ]
    assert all(one.axes == ("rows",) for one in found if one.crosses_slices)
    assert all(one.axes == ("columns",) for one in found if not one.crosses_slices)


@needs_compiler
@pytest.mark.slow
def test_a_loop_that_ends_by_the_data_needs_a_count() -> None:
    with pytest.raises(hlo.HloError, match=r"of 'jit\(until\)/while'"):
        cost("until")
    assert cost("until", trips=lambda _: 7).total.matmul_flops == 7 * T * D * D


# Attention's kernels, and what is assumed.


def attention_call(name: str, op_name: str, rows: bool) -> Kernel:
    """Of 2 rows, 8 heads over 2, 256 queries and keys, heads of 64 (72 padded to 80 in columns)."""
    q, k = ("[2,8,256,64]", "[2,2,256,64]") if rows else ("[2,8,80,256]", "[2,2,80,256]")
    operands = [f"bf16{q}", f"bf16{k}", f"bf16{k}", *([f"bf16{q}"] if "back" in name else [])]
    sums = "f32[2,8,1,256]"
    operands += [sums, sums] if "back" in name else []
    results = [f"bf16{q}", sums] if "forward" in name else [f"bf16{q}", f"bf16{k}", f"bf16{k}"]
    lines = [f"  %p.{n} = {text} parameter({n})" for n, text in enumerate(operands)]
    names = ", ".join(f"%p.{n}" for n in range(len(operands)))
    text = (
        "ENTRY %main () -> f32[] {\n" + "\n".join(lines) + f"\n  ROOT %{name}.7 = "
        f'({", ".join(results)}) custom-call({names}), custom_call_target="tpu_custom_call", '
        f'metadata={{op_name="{op_name}"}}\n}}\n'
    )
    entry = hlo.parse(text).entry
    return kernel_of(entry, entry.root)


@pytest.mark.parametrize(
    ("name", "op_name", "rows", "wanted"),
    [
        ("attention_forward", "jvp(language)/x", True, 4 * 16 * 64 * (256 * 257 / 2)),
        ("attention_backward", "transpose(jvp(language))", True, 10 * 16 * 64 * (256 * 257 / 2)),
        ("attention_forward", "jvp(vision)/x", False, 4 * 16 * 80 * 256 * 256),
        ("attention_forward", "jvp(vision)/window/x", False, 4 * 16 * 80 * 256 * 64),
    ],
)
def test_flops_of_our_kernels(name: str, op_name: str, rows: bool, wanted: float) -> None:
    call = attention_call(name, op_name, rows)
    assert call.name == name
    assert assumptions.kernel_flops(window_patches=64)(call) == wanted


def test_a_kernel_that_is_not_ours_is_refused() -> None:
    with pytest.raises(hlo.HloError, match="ragged_dot"):
        assumptions.kernel_flops()(attention_call("ragged_dot_forward", "", True))


@pytest.mark.parametrize(
    ("queries", "keys", "causal", "longest", "wanted"),
    [
        (4, 4, True, None, 10),
        (2, 4, True, None, 7),
        (4, 4, False, None, 16),
        (7, 7, False, 3, 9 + 9 + 1),
        (7, 7, True, 3, 6 + 6 + 1),
        (4, 4, False, 9, 16),
    ],
)
def test_pairs_of_attention(
    queries: int, keys: int, causal: bool, longest: int | None, wanted: int
) -> None:
    found = assumptions.attention_pairs(queries, keys, causal=causal, longest=longest)
    assert found == wanted


@pytest.mark.parametrize("rows", [0, 1, 256, 257, 768, 769, 1024, 1025, 1793, 4096])
def test_trips_of_the_loss(rows: int) -> None:
    """The loops as they are written, counted out."""
    start = chunks = quarters = 0
    while rows - start > 768:
        start, chunks = start + 1024, chunks + 1
    while rows - start > 0:
        start, quarters = start + 256, quarters + 1
    trips = assumptions.loss_trips(rows, 1024)
    body = "jit(step)/jvp(loss)/shard_map/{}/while"
    found = [trips(_loop(body.format(name))) for name in ("chunks", "quarters")]
    assert found == [chunks, quarters]
    assert trips(_loop("jit(step)/jvp(language)/while")) is None


def _loop(op_name: str) -> hlo.Instruction:
    attributes = f'metadata={{op_name="{op_name}"}}'
    return hlo.Instruction("while.1", "while", (), (), "", attributes, False)


def test_chips_and_their_roofline() -> None:
    chip = chip_of("tpu7x:2x2x1")
    assert chip.device_flops * 2 == chip.peak_flops
    group = Collective("a", "all-gather", 8 * 10**9, ((0, 1),), ("data",), False, 2.0, "", False)
    away = Collective("b", "all-reduce", 10**9, ((0, 2),), ("rows",), True, 1.0, "", False)
    work = {"x": Work(197e12, 0.0, 819e9 / 2)}
    found = roofline(CHIPS["v5e"], Cost(work, {"k": KernelWork(1, 0)}, (group, away)), 98.5e12)
    assert (found.compute_s, found.hbm_s) == (1.0, 0.5)
    assert found.ici_s == 8e9 / 100e9
    assert found.dcn_s == 1e9 / 3.125e9
    assert (found.bound, found.overlapped_s, found.mfu_ceiling) == ("compute", 1.0, 0.5)
    assert found.serial_s == 1.0 + found.ici_s + found.dcn_s
    assert found.mfu_serial == 0.5 / found.serial_s
