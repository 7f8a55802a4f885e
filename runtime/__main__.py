"""`python -m wetgen.runtime` is the `wetgen` command."""

from wetgen.runtime.cli import cli

if __name__ == "__main__":
    cli()
