"""What MinKNOW leaves in a cell's directory: data files of every era, final_summary files, its own
report.

The only package that knows MinKNOW's layout. It looks and counts; what the counts mean is said by
`completeness`. It reads nothing but the small final_summary files, and of those only regular ones:
names and contents are somebody else's. Directories are listed without a stat per file, because a
cell may hold a million files, and symbolic links are never followed.
"""

from hesiod_watch.runs.minknow.contents import (
    fastq_changed,
    newest_summary_mtime,
    ont_report,
    read_contents,
)
from hesiod_watch.runs.minknow.layout import DataFile, data_files
from hesiod_watch.runs.minknow.pooling import pooled
from hesiod_watch.runs.minknow.summary import facts, parse_summary

__all__ = [
    "DataFile",
    "data_files",
    "facts",
    "fastq_changed",
    "newest_summary_mtime",
    "ont_report",
    "parse_summary",
    "pooled",
    "read_contents",
]
