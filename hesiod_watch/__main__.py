"""`python -m hesiod_watch` is the command `hesiod-watch`."""

import sys

from hesiod_watch.cli import main

if __name__ == "__main__":
    sys.exit(main())
