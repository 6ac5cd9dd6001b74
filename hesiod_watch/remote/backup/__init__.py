"""Backups of cells on separate file systems: list files, copy to them, verify by reading.

`store` is one open backup, `manifests` lists the expected files, `compare` compares the two.
Nothing in this package can delete a file on either side. It makes no decisions: other packages
decide what a copy is sufficient for.
"""

from hesiod_watch.remote.backup.local_files import device_of
from hesiod_watch.remote.backup.manifests import (
    RAW_MANIFEST,
    manifest_md5,
    raw_of_sync,
    read_raw,
    read_raw_data,
    read_raw_manifest,
    result_facts,
    sources_of,
    write_raw,
)
from hesiod_watch.remote.backup.store import BackupStore, opened, reached
from hesiod_watch.rules.copies import (
    CopyRecord,
    Facts,
    FileFact,
    copies_in,
    damage_in,
    digest,
    known_copies,
    raw_place,
    raw_wanted,
    results_place,
)
