"""Starts Python processes that do not import modules of the working folder.

`python -c` and `python -m` search the working folder first, and so would the processes that multiprocessing starts: a
file signal.py or json.py beside a grid would be executed in place of the standard library's (CWE-427).
"""

from contextlib import AbstractContextManager

from attnbench.environment import environment

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # an environment variable of Python 3.11 and later, inherited by child processes


def safe_path() -> AbstractContextManager[None]:
    """Sets SAFE_PATH for the processes that are started in the block."""
    return environment(SAFE_PATH)
