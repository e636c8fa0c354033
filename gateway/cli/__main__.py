"""`python -m gateway.cli` is `sceau`."""

import sys

from gateway.cli import main

sys.exit(main())
