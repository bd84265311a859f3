"""``python -m compdistort``."""

import sys

from compdistort.cli import main

if __name__ == "__main__":
    sys.exit(main())
