"""Backups of cells on separate file systems: list files, copy to them, verify by reading.

`store` is one open backup, `manifests` lists the expected files, `compare` compares the two.
Nothing in this package can delete a file on either side. It makes no decisions: other packages
decide what a copy is sufficient for.
"""
