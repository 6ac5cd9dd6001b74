"""Kinds of attention that concern one cell, in the order of precedence."""

from __future__ import annotations

from hesiod_watch.core.attention import AttentionKind, Severity, Step

NOTE, PERSON = Severity.NOTE, Severity.PERSON

ACCEPT = "hesiod-touch-atomic {synced}"
RETRY = "hesiod-watch retry {run} {cell} --why …"
RELEASE = "hesiod-watch release {run} {cell} --why …"

OVERDUE = "overdue: {why}; its final_summary arrived at {arrived}, and the grace period is over"
READABLE = Step(
    "make sure that the user of hesiod-watch can read all of {unreadable} (permissions, disk,"
    " mount)"
)
OF_ENDED = (
    Step("copy {bad_summaries} again from the sequencer into {landing}"),
    Step(
        "compare the final_summary in {empty_in} with the one on the sequencer, and copy it again"
        " where they differ"
    ),
    Step("show the links and special files among the data", "find {linked_in} ! -type f ! -type d"),
    Step("replace each link by what it leads to, and move special files out of {linked_in}"),
    READABLE,
    Step(
        "copy the named files again from the sequencer into {damaged_in}; then",
        "hesiod-watch perform checksums {run} {cell}",
    ),
    Step(
        "find the files in MinKNOW's fallback folder on the sequencer, and copy them into"
        " {fallback_to}"
    ),
    Step("look for the missing {missing_kinds} files on the sequencer, and copy them into {to}"),
    Step(
        "find the {surplus_kinds} files that do not belong to this cell, and move them out of"
        " {places}"
    ),
    # At most one of these: its fact is what would be missing.
    Step("last: if the files are lost, accept the cell as complete without them ({lost})", ACCEPT),
    Step("last: if all files belong to this cell, accept it as complete ({surplus})", ACCEPT),
    Step(
        "last: when all files are here, or are lost, accept the cell as complete ({in_fallback})",
        ACCEPT,
    ),
    Step(
        "last: if that is impossible, count the files yourself and accept the cell as complete"
        " ({unknown})",
        ACCEPT,
    ),
)
"""Steps of all kinds of overdue cells; several causes may apply at once."""

CELL_KINDS = (
    AttentionKind(
        "failed",
        PERSON,
        "processing a cell has failed",
        "its processing has failed: {why}",
        (Step("after fixing the cause", RETRY),),
    ),
    AttentionKind(
        "owner-unknown",
        PERSON,
        "it is unknown whether the owner of a claim is alive, and for an hour nothing has changed",
        "claimed by {owner}; this host cannot tell whether the owner is alive ({why})",
        (Step("if you have checked that the owner is dead", RELEASE),),
    ),
    AttentionKind(
        "owner-elsewhere",
        NOTE,
        "a cell is claimed on another host, or by hand, and was worked on within the last hour",
        "claimed by {owner}; this host cannot tell whether the owner is alive ({why})",
        (Step("if you have checked that the owner is dead", RELEASE),),
    ),
    AttentionKind(
        "job-waiting",
        PERSON,
        "the Slurm job of a cell has not begun, or not again after a requeue, for longer than the"
        " grace period",
        "its job has not begun: {why}",
        (
            Step("see what Slurm says about it, also whether it is held", "squeue --name={job}"),
            Step(
                "if the cluster is only busy, wait; if the job can never start, mend `slurm` in the"
                " configuration, then cancel the job: another one is submitted",
                "scancel --name={job}",
            ),
        ),
    ),
    AttentionKind(
        "worker-died",
        NOTE,
        "the last worker of a cell has died; the next attempt starts by itself after a pause",
        "{why}",
        (Step("start the next attempt now", RELEASE),),
    ),
    AttentionKind(
        "fallback",
        PERSON,
        "MinKNOW has put files of an overdue cell into its fallback folder on the sequencer",
        OVERDUE,
        OF_ENDED,
    ),
    AttentionKind(
        "unreadable-summary",
        PERSON,
        "the final_summary of an overdue cell cannot be read, or it announces nothing",
        OVERDUE,
        OF_ENDED,
    ),
    AttentionKind(
        "unreadable-files",
        PERSON,
        "the files of an overdue cell cannot be listed",
        OVERDUE,
        OF_ENDED,
    ),
    AttentionKind(
        "surplus-files",
        PERSON,
        "an overdue cell has more files than its final_summary announces",
        OVERDUE,
        OF_ENDED,
    ),
    AttentionKind(
        "overdue",
        PERSON,
        "files that a cell's final_summary announces are missing after the grace period",
        OVERDUE,
        OF_ENDED,
    ),
    AttentionKind(
        "unreadable-data",
        PERSON,
        "the files of a cell that is still being written cannot be listed",
        "its files cannot be listed, so nothing is known about its end: {why}",
        (READABLE,),
    ),
    AttentionKind(
        "quiet",
        PERSON,
        "a cell has no final_summary, and no new file for `processing.quiet`",
        "quiet: no new file since {last_file}, and {why}; MinKNOW may have stopped without one",
        (
            Step("look in MinKNOW: is this acquisition still running, or has it crashed?"),
            Step(
                "if it has ended, copy the files that are missing here, and its final_summary, into"
                " {to}"
            ),
            Step(
                "last: if it has ended without a final_summary, accept the cell as complete (the"
                " program cannot tell which files would be missing)",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "never-started",
        PERSON,
        "a cell has a directory, and no data and no final_summary for `processing.quiet`",
        "never started: its directory is here since {last_file}, without data and final_summary",
        (
            Step("look in MinKNOW whether this acquisition was ever started"),
            Step("if it was not, disregard it", "hesiod-watch abort {run} {cell} --why …"),
        ),
    ),
    AttentionKind(
        "data-lost",
        PERSON,
        "flags of a cell exist, and its directory is missing",
        "recorded in flags, but its directory is not here, and {listed}",
        (
            Step("find its directory, and put it back to {landing}"),
            Step(
                "to have it copied again, put its flags aside",
                "mkdir -p {aside} && mv {pipeline}/{stem}.* {aside}",
            ),
        ),
    ),
    AttentionKind(
        "second-copy",
        PERSON,
        "a cell on an upstream is a second copy of another one, and is not copied",
        "not copied: a second copy of a cell: {why}",
        (
            Step(
                "if the upstream's directory was renamed or copied: rename it back, or remove the"
                " copy there"
            ),
            Step("if the other cell does not count, disregard it with `hesiod-watch abort`"),
            Step("to have both", "hesiod-touch-atomic {wanted}"),
        ),
    ),
    AttentionKind(
        "ingest-failed",
        PERSON,
        "the early ingest of a cell that is still being written needs a person, or fails for an"
        " hour; it is tried again",
        "its ingest has failed: {why}",
        (
            Step(
                "after fixing the cause, such as a damaged file, try it now",
                "hesiod-watch perform ingest {run} {cell}",
            ),
        ),
    ),
    AttentionKind(
        "not-processed",
        NOTE,
        "a cell is complete, and runs of its type are not processed",
        "its run is of the type {type}, and runs of this type are not processed",
        (Step("have it processed: write another type into {type_file}"),),
    ),
    AttentionKind(
        "waiting-for-space",
        PERSON,
        "a worker waits because a disk is full or a quota is reached; it resumes by itself",
        "its worker waits: {why}",
        (
            Step("make room, or have the quota raised; the worker then resumes by itself"),
            Step("show how full the disk of the results is", "df -h {output}"),
        ),
    ),
    AttentionKind(
        "worker-waits",
        NOTE,
        "a worker waits for something that ends by itself, and then tries again",
        "its worker waits, and tries again within 5 minutes: {why}",
        (Step("wait; `pipeline.log` of the run has each attempt"),),
    ),
    AttentionKind(
        "waiting-for-worker",
        NOTE,
        "work is ready, and all workers of this host are busy",
        "it waits for a free worker; busy with {holders}",
        (Step("wait, or raise `processing.workers` in the configuration"),),
    ),
    AttentionKind(
        "files-damaged",
        PERSON,
        "MinKNOW's checksums show that files of a processed cell differ or are missing",
        "processed, but {why}",
        (
            Step(
                "after copying the named files again from the sequencer (docs/backup.md says how"
                " to renew the copies)",
                "hesiod-watch verify {run} {cell} --backup",
            ),
        ),
    ),
    AttentionKind(
        "files-repacked",
        NOTE,
        "files of a processed cell were compressed or unpacked, so MinKNOW's checksums do not fit",
        "processed, but {why}",
        (
            Step(
                "if it was not done on purpose, bring the files back as MinKNOW wrote them, then",
                "hesiod-watch verify {run} {cell} --backup",
            ),
        ),
    ),
    AttentionKind(
        "copy-damaged",
        PERSON,
        "results or copies of a processed cell are damaged or missing",
        "damaged: {why}",
        (
            Step(
                "after copying damaged raw data again from the sequencer",
                "rm -f {raw} && hesiod-watch perform backup {run} {backed_up} &&"
                " hesiod-watch verify {run} {cell} --backup",
            ),
            Step(
                "after copying damaged raw data again from the sequencer",
                "rm -f {only_raw} && hesiod-watch verify {run} {cell} --backup",
            ),
            Step(
                "copy damaged and missing files to its backups again",
                "hesiod-watch perform backup {run} {backed_up}",
            ),
            Step(
                "then read all its copies again",
                "hesiod-watch verify {run} {cell} --backup",
            ),
        ),
    ),
    AttentionKind(
        "backup-behind",
        PERSON,
        "a processed cell is not on all its backups; copying is tried again",
        "processed, but not backed up: {why}",
        (
            Step(
                "after fixing the cause, copy it now",
                "hesiod-watch perform backup {run} {cell}",
            ),
            Step(
                "if raw data that are missing were removed on purpose, list the rest anew",
                "rm -f {raw} && hesiod-watch perform backup {run} {cell}",
            ),
        ),
    ),
    AttentionKind(
        "copies-unread",
        PERSON,
        "the copies of a processed cell could not be read again for an hour; it is tried again",
        "processed, but its copies could not be read: {why}",
        (
            Step(
                "after fixing the cause, read them now",
                "hesiod-watch verify {run} {cell} --backup",
            ),
        ),
    ),
    AttentionKind(
        "deletion-behind",
        PERSON,
        "a cell could not be stripped, or its mark on the upstream not be made or withdrawn, for an"
        " hour; it is tried again",
        "{what}: {why}",
        (Step("after fixing the cause, try it now", "hesiod-watch perform {action} {run} {cell}"),),
    ),
    AttentionKind(
        "hook-failed",
        PERSON,
        "the command of `on_done` failed for a processed cell; it is run again",
        "processed, but the command of on_done failed: {why}",
        (
            Step("see what it wrote", "grep -F hook {log}"),
            Step("after fixing the cause, have it run now", RETRY),
            Step("last: to do without it for this cell", "mv {failed_hook} {done_hook}"),
        ),
    ),
    AttentionKind(
        "no-reads",
        NOTE,
        "a cell is processed and has no reads",
        "processed, {why}",
        (Step("look in MinKNOW's report whether this was intended"),),
    ),
    AttentionKind(
        "new-data",
        PERSON,
        "data of a cell arrived after it was processed",
        "{why}",
        (Step("process the cell again, with the new data", RETRY),),
    ),
)
