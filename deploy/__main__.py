"""``python -m deploy`` is ``kaikou``."""

import sys

from deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
