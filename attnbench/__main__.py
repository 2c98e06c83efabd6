"""`python -m attnbench` is the same as `attnbench`."""

from attnbench.cli import main

if __name__ == "__main__":
    main()
