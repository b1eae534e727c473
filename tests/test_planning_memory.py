"""What is read of memory: arguments, the peak by a sweep, categories, and refusals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_programs import compiled, needs_compiler
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vsfa_jax.planning import hlo, liveness, memory, traffic

MIB = 2**20

# f32[1024,256] is a MiB. By line of the entry, what lives in HBM besides arguments and results:
#   sum 1   copy 2   carry 1 + loop's own 2   late 1 while moved holds 1   result 0
SCHEDULE = """\
HloModule jit_f, is_scheduled=true

%body (b: (s32[], f32[1024,256])) -> (s32[], f32[1024,256]) {
  %b = (s32[], f32[1024,256]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%b), index=0
  %h = f32[1024,256]{1,0} get-tuple-element(%b), index=1
  %one = s32[] constant(1)
  %m = s32[] add(%n, %one)
  %inner = f32[2048,256]{1,0} broadcast(%one), metadata={op_name="jit(f)/jvp(language)/while/body/x"}
  ROOT %o = (s32[], f32[1024,256]{1,0}) tuple(%m, %k)
}

%until (c: (s32[], f32[1024,256])) -> pred[] {
  %c = (s32[], f32[1024,256]{1,0}) parameter(0)
  %now = s32[] get-tuple-element(%c), index=0
  %last = s32[] constant(3)
  ROOT %less = pred[] compare(%now, %last), direction=LT
}

ENTRY %main (a: f32[1024,256], w: f32[512,256]) -> f32[1024,256] {
  %a = f32[1024,256]{1,0} parameter(0), metadata={op_name="state.params['language']"}
  %w = f32[512,256]{1,0} parameter(1)
  %turned = f32[1024,256]{0,1} copy(%a)
  %in_vmem = f32[4096,256]{1,0:S(1)} add(%a, %a)
  %start = s32[] constant(0)
  %saved = f32[1024,256]{1,0} add(%turned, %a), metadata={op_name="jit(f)/jvp(language)/add"}
  %carry = (s32[], f32[1024,256]{1,0}) tuple(%start, %saved)
  %loop = (s32[], f32[1024,256]{1,0}) while(%carry), condition=%until, body=%body, metadata={op_name="jit(f)/jvp(language)/while"}
  %kept = f32[1024,256]{1,0} get-tuple-element(%loop), index=1
  %gathered = f32[1024,256]{1,0} all-gather(%w), replica_groups={}, dimensions={0}
  %in_place = f32[1024,256]{1,0} add(%kept, %gathered), backend_config={"aliasing_operands":{"lists":[{"indices":["0","2"]}]}}
  ROOT %result = f32[1024,256]{1,0} multiply(%in_place, %gathered)
}
"""  # noqa: E501


def program(last: str = "inner") -> hlo.Program:
    body = "%k = f32[1024,256]{1,0} add(%h, %h)" if last == "inner" else last
    return hlo.parse(SCHEDULE.replace("  ROOT %o", f"  {body}\n  ROOT %o"))


def named(found: tuple[liveness.Live, ...]) -> dict[str, int]:
    return {live.instruction.name: live.bytes for live in found if live.bytes >= MIB}


def test_the_peak_is_inside_the_loop() -> None:
    """What the loop carries, once, and what its body makes; not what is dead or in VMEM."""
    found = liveness.peak(program())
    assert named(found) == {"inner": 2 * MIB, "saved": MIB}
    temporaries = memory.temporaries(program())
    assert temporaries.by_category[memory.BLOCK] == 2 * MIB
    assert temporaries.by_category[memory.SAVED] == MIB
    assert temporaries.live_bytes == sum(temporaries.by_category.values())
    assert temporaries.largest == found


def test_the_peak_is_outside_the_loop() -> None:
    """Written in place: the sum takes the loop's result over; the last result is no temporary."""
    small = program().computations["body"].instructions["inner"]
    text = SCHEDULE.replace("f32[2048,256]{1,0} broadcast", "f32[8]{0} broadcast")
    text = text.replace("  ROOT %o", "  %k = f32[1024,256]{1,0} add(%h, %h)\n  ROOT %o")
    assert small.arrays[0].bytes == 2 * MIB
    assert named(liveness.peak(hlo.parse(text))) == {"saved": MIB, "turned": MIB}
    text = text.replace("%gathered = f32[1024,256]", "%gathered = f32[3072,256]")
    found = liveness.peak(hlo.parse(text))
    assert named(found) == {"gathered": 3 * MIB, "saved": MIB}
    held = {live.instruction.name: memory.category(hlo.parse(text), live) for live in found}
    assert held["gathered"] == memory.WEIGHTS


def test_a_copy_of_an_argument_is_called_so() -> None:
    text = SCHEDULE.replace("f32[2048,256]{1,0} broadcast", "f32[8]{0} broadcast")
    whole = hlo.parse(text.replace("  ROOT %o", "  %k = f32[1024,256]{1,0} add(%h, %h)\n  ROOT %o"))
    assert memory.temporaries(whole).by_category == {memory.COPIES: MIB, memory.SAVED: MIB}


def test_asynchronous_pairs_hold_their_source() -> None:
    text = """\
ENTRY %main (a: f32[1024,256]) -> f32[1024,256] {
  %a = f32[1024,256]{1,0} parameter(0)
  %x = f32[1024,256]{1,0} add(%a, %a)
  %begin = (f32[1024,256]{1,0:S(1)}, f32[1024,256]{1,0}, u32[]{:S(2)}) copy-start(%x)
  %other = f32[1024,256]{1,0} multiply(%a, %a)
  %end = f32[1024,256]{1,0:S(1)} copy-done(%begin)
  %sent = (f32[1024,256]{1,0}, f32[1024,256]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%other), source_target_pairs={{0,1}}
  %come = f32[1024,256]{1,0} collective-permute-done(%sent)
  ROOT %result = f32[1024,256]{1,0} add(%come, %end)
}
"""  # noqa: E501
    assert named(liveness.peak(hlo.parse(text))) == {"x": MIB, "other": MIB}
    text = text.replace("%x = f32[1024,256]{1,0}", "%x = f32[1024,256]{1,0:S(1)}")
    assert named(liveness.peak(hlo.parse(text))) == {"other": MIB, "sent": MIB}


OFFLOADED = """\
ENTRY %main (a: f32[4096,256], i: s32[1024]) -> f32[1024,256] {
  %a = f32[4096,256]{1,0} parameter(0)
  %i = s32[1024]{0} parameter(1)
  %x = f32[4096,256]{1,0} add(%a, %a)
  %begin = ((), (), (s32[64]{0}, s32[1]{0:S(2)})) custom-call-start(), custom_call_target="gather"
  %given = ((f32[4096,256]{1,0}, s32[1024]{0}), f32[1024,256]{1,0}, (s32[64]{0}, s32[1]{0:S(2)})) custom-call-update(%begin, %x, %i)
  %end = f32[1024,256]{1,0} custom-call-done(%given)
  ROOT %result = f32[1024,256]{1,0} negate(%end)
}
"""  # noqa: E501


def test_a_gather_that_is_handed_over_reads_rows() -> None:
    """What it takes comes with the update; it holds its source, and reads as much as it gives."""
    whole = hlo.parse(OFFLOADED)
    assert named(liveness.peak(whole)) == {"x": 4 * MIB, "given": MIB}
    moved = traffic.hbm_bytes(whole, whole.entry, whole.entry.instructions["given"])
    assert moved == MIB + 1024 * 4 + MIB


@pytest.mark.parametrize(
    ("message", "used", "available"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total "
            "memory required for HLO temporaries (48.01G) exceeds available HBM (15.75G).",
            48.01 * 2**30,
            15.75 * 2**30,
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 33.50G of 512.0M hbm.",
            33.5 * 2**30,
            512 * MIB,
        ),
        (
            "TPU TensorCore Hbm usage: 34.82G, SparseCore Hbm usage 174.10G, exceeding available "
            "bytes: 95.74G",
            34.82 * 2**30,
            95.74 * 2**30,
        ),
    ],
)
def test_refusals_are_read(message: str, used: float, available: float) -> None:
    refusal = memory.read_refusal(message)
    assert refusal is not None
    assert (refusal.used_bytes, refusal.available_bytes) == (int(used), int(available))
    assert refusal.largest == ()


def test_allocations_of_a_refusal_are_read() -> None:
    message = """Ran out of memory in memory space hbm. Used 20.00G of 15.75G hbm.
Largest program allocations in hbm:

  1. Size: 2.00G
     Operator: op_name="jit(f)/mul"
     Shape: f32[512,1048576]
     ==========================

  2. Size: 12.5M
     Shape: bf16[64]
"""
    refusal = memory.read_refusal(message)
    assert refusal is not None
    assert [one.bytes for one in refusal.largest] == [2 * 2**30, int(12.5 * MIB)]
    assert refusal.largest[0].said == 'Operator: op_name="jit(f)/mul" Shape: f32[512,1048576]'


def test_another_error_is_no_refusal() -> None:
    assert memory.read_refusal("INVALID_ARGUMENT: mesh has 4 devices") is None


def test_bytes_of_arguments() -> None:
    mesh = Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1), ("data", "fsdp"))
    place = NamedSharding(mesh, P("fsdp"))
    kernel = jax.ShapeDtypeStruct((8, 16), jnp.bfloat16, sharding=place)
    scale = jax.ShapeDtypeStruct((16,), jnp.float32)
    arrays = {"language/kernel": kernel, "vision/kernel": kernel, "language/scale": scale}
    assert memory.argument_bytes(arrays) == 256 * 2 + 64


def test_bytes_of_arguments_on_many_devices() -> None:
    abstract = jax.sharding.AbstractMesh((2, 4), ("data", "fsdp"))
    place = NamedSharding(abstract, P(None, "fsdp"))
    kernel = jax.ShapeDtypeStruct((8, 16), jnp.bfloat16, sharding=place)
    assert memory.argument_bytes([kernel]) == 8 * 4 * 2


@needs_compiler
def test_memory_of_a_program() -> None:
    """Of arguments in bfloat16: x in four parts, five matrices; the result is another x."""
    x, weights = 512 * 1024 * 2 // 4, 5 * 1024 * 1024 * 2
    found = compiled("layers")["memory"]
    assert (found["argument"], found["output"], found["alias"]) == (x + weights, x, 0)
    assert found["generated_code"] > 0


@needs_compiler
@pytest.mark.slow
def test_the_sweep_agrees_with_the_compiler() -> None:
    """With what lives at its peak to a thousandth; the room that it takes has gaps besides."""
    program = compiled("wide_gradient")
    found = program["memory"]
    swept = memory.temporaries(hlo.parse(program["text"])).live_bytes
    living = found["peak"] - found["argument"] - (found["output"] - found["alias"])
    assert swept == pytest.approx(living, rel=1e-3)
    assert swept <= found["temp"] <= 1.2 * swept
