"""`python -m hesiod_watch` is the command `hesiod-watch`."""

from hesiod_watch.cli import run

if __name__ == "__main__":
    run()
