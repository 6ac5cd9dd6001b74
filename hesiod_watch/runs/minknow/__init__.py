"""MinKNOW's files in a cell's directory: data files, final_summary files, its own report.

This is the only package that knows MinKNOW's layout, in all its versions. It lists and counts;
`completeness` decides what the counts mean. It reads only the small final_summary files, and only
regular ones, because other programs choose names and contents. It lists directories without a stat
per file, because a cell may have a million files. It never follows symbolic links.

`extras` is not part of it: only those who process a cell read reports, sheets and summaries.
"""

from hesiod_watch.runs.minknow.contents import (
    changed_after_summary,
    contents_of,
    last_change,
    newest_summary_time,
    read_contents,
    read_summaries,
    reads_changed,
)
from hesiod_watch.runs.minknow.layout import DataFile, data_files, holds_data
from hesiod_watch.runs.minknow.pooling import find_misplaced, find_pooled, may_be_pooled
from hesiod_watch.runs.minknow.summary import facts, parse_summary
