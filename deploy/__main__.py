"""The process ``kaikou`` (also ``python -m deploy``): Ctrl-C at any moment ends it quietly."""

import signal
import sys


def main() -> int:
    """Run the command line; its exit code."""
    try:
        from deploy.cli import main as command  # takes a second, in which Ctrl-C may come

        code = command()
    except KeyboardInterrupt:
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter clears up
    return code


if __name__ == "__main__":
    sys.exit(main())
