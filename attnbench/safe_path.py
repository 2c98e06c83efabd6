"""Starts Python processes that do not import modules of the working folder.

`python -c` and `python -m` search the working folder first, and so would the processes that multiprocessing starts: a
file signal.py or json.py beside a grid would be executed in place of the standard library's (CWE-427).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # an environment variable of Python 3.11 and later, inherited by child processes


@contextmanager
def safe_path() -> Iterator[None]:
    """Sets SAFE_PATH for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in SAFE_PATH}
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
