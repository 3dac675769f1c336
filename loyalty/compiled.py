"""How the core is compiled: without the GIL, kept on disk, with IEEE division, and never with fast maths."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function as machine code.

    Without numba's reference counts: callers hold all arrays, and to count them at each call took a sixth of
    the fold's time.  So compiled code makes no arrays; scratch space is handed in.
    """
    options: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}
    return cast(F, njit(**options)(function))


# numba keeps compiled code until the file of the function itself changes; what it took over from these is old
# code by then.  So whatever uses them has the stamp in the type of an argument (`policy.POLICY`).
_TAKEN_OVER = (
    "blake2", "calendar", "campaign_rules", "campaigns", "columns", "compiled", "conditions", "counters",
    "emit", "events", "features", "game", "generation", "hashing", "missions", "moving", "points", "policy",
    "rewards", "row", "rules", "scan", "scores", "slots", "texts", "times", "vocabulary",
)  # fmt: skip
STAMP = blake2b(
    b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _TAKEN_OVER), digest_size=8
).hexdigest()

_LINE = 64  # bytes of a cache line


def _prefetch(_typing: Any, record: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        insert: Callable[..., Any] = cgutils.get_or_insert_function
        call = insert(builder.module, kind, "llvm.prefetch.p0")
        for at in range(0, record.size, _LINE):
            line = builder.gep(pointer, [ir.Constant(i32, at)])
            builder.call(call, [line, *(ir.Constant(i32, how) for how in (1, 3, 1))])  # to write, keep, data
        return context.get_dummy_value()

    return types.void(record), generate


#: `prefetch(record)`: ask for a record's cache lines.  Rows lie anywhere in memory: asked for two ahead, they
#: are there when their turn comes, which halves the fold's time.
prefetch: Any = intrinsic(_prefetch)
