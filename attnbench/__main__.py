"""The start of the command `attnbench`, and of `python -m attnbench`."""

import sys


def main() -> None:
    """Imports and runs the command line; Ctrl-C ends it without a traceback from the first moment."""
    try:
        from attnbench.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)  # Exit.INTERRUPTED, which may not be imported yet


if __name__ == "__main__":
    main()
