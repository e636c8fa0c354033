"""`python -m tests.judges.verdicts`: writes docs/pki-verdicts.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.judges.verdicts.page import page

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """0: written; 3: no corpora."""
    corpora = Path(os.environ.get("SCEAU_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not corpora.exists():
        print(f"the corpora are not in {corpora}: name their folder in SCEAU_CORPORA",
              file=sys.stderr)  # fmt: skip
        return 3
    (ROOT / "docs" / "pki-verdicts.md").write_text(page(corpora))
    return 0


if __name__ == "__main__":
    sys.exit(main())
