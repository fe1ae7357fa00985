"""What a file that is not to be read has to get: one line, and no memory."""

import tracemalloc

import pytest


def refused(read, path, match, *, longest=800, **kwargs):
    """One line, with the file's name, and no allocation to speak of."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as caught:
            read(path, **kwargs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < longest
    assert peak < 4e6
