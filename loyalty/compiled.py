"""How the core is compiled: without the GIL, kept on disk, with IEEE division, and never with fast maths.

numba's cache looks at the file of the compiled function only.  After a change of a constant or function that
another file's compiled code uses, remove `loyalty/__pycache__/*.nb?`.
"""

from __future__ import annotations

from numba import njit

compiled = njit(nogil=True, cache=True, error_model="numpy")
