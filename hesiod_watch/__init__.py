"""hesiod-watch: from the last read of a nanopore cell to proven, compressed, reported data."""

__version__ = "0.1.0"
