"""``python -m sparsecode`` is the command ``sparsecode``."""

import sys

from sparsecode.cli import main

if __name__ == "__main__":
    sys.exit(main())
