"""The page of the language of rules: `python -m catalog.reference > docs/conditions.md`."""

from __future__ import annotations

import sys

from loyalty.vocabulary import reference

if __name__ == "__main__":
    sys.stdout.write(reference())
