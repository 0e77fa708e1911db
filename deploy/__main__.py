"""The process ``kaikou`` (also ``python -m deploy``): Ctrl-C at any moment ends it quietly."""

import os
import signal
import sys


def main() -> int:
    """Run the command line; its exit code."""
    try:
        from deploy.cli import main as command  # takes a second, in which Ctrl-C may come

        return command()
    except KeyboardInterrupt:
        return 130


def run() -> None:
    """Run the command line and end the process.

    Everything is closed and on disk when a command returns. What is left to the interpreter is to
    take apart libraries whose threads may still wait (DuckDB tells that as leaks): it is left out.
    """
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            continue
    os._exit(code)


if __name__ == "__main__":
    run()
