"""`python -m docs.made`: writes the reference pages anew, and says which have changed."""

from __future__ import annotations

import sys

from docs.made import write

if __name__ == "__main__":
    for name in write():
        sys.stdout.write(f"docs/{name}\n")
