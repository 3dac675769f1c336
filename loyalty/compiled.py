"""How the core is compiled: without the GIL, kept on disk, with IEEE division, and never with fast maths.

numba's cache looks at the file of the compiled function only.  After a change of a constant or function that
another file's compiled code uses, remove `loyalty/__pycache__/*.nb?`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

compiled = njit(nogil=True, cache=True, error_model="numpy")

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
