"""For the tests and for the doctests of the package alike."""

import os
import tempfile
from pathlib import Path

# Before anything imports matplotlib or asks for the cache folder. A child process inherits both.
os.environ["MPLBACKEND"] = "Agg"
_cache = tempfile.TemporaryDirectory(prefix="sparsecode-tests-", ignore_cleanup_errors=True)
os.environ["SPARSECODE_CACHE"] = str(Path(_cache.name))
