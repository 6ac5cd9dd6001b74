"""Kinds of attention that concern one cell, in the order of precedence."""

from __future__ import annotations

from hesiod_watch.core.attention import AttentionKind, Severity, Step

NOTE, PERSON = Severity.NOTE, Severity.PERSON

ACCEPT = "hesiod-touch-atomic {synced}"
RETRY = "hesiod-watch retry {run} {cell} --why …"
RELEASE = "hesiod-watch release {run} {cell} --why …"

CELL_KINDS = (
    AttentionKind(
        "failed",
        PERSON,
        "processing a cell has failed",
        "its processing has failed: {why}",
        (
            Step("after fixing the cause", RETRY),
            Step(
                "if the missing files are lost, first retry it, then accept it as complete without"
                " them ({missing})",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "owner-unknown",
        PERSON,
        "a cell is claimed, and it is unknown whether the owner of the claim is alive",
        "it is claimed by {owner}, which can neither be seen alive nor proven dead ({why})",
        (Step("if you have checked that the owner is dead", RELEASE),),
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
        "MinKNOW has put files of a cell into its fallback folder on the sequencer",
        "{why}; its final_summary arrived at {arrived}, and the grace period is over",
        (
            Step(
                "find the files in MinKNOW's fallback folder on the sequencer, and copy them into"
                " {source}{then}"
            ),
            Step(
                "last: when all files are here, or are lost, accept the cell as complete"
                " ({missing})",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "unreadable-summary",
        PERSON,
        "the final_summary of a cell cannot be read, or it announces nothing",
        "{why}; its final_summary arrived at {arrived}, and the grace period is over",
        (
            Step("copy {bad_summaries} again from the sequencer into {landing}"),
            Step(
                "compare the final_summary in {empty_in} with the one on the sequencer, and copy it"
                " again where they differ"
            ),
            Step(
                "make sure that the user of hesiod-watch can read all of {unreadable}"
                " (permissions, disk, mount)"
            ),
            Step(
                "last: if that is impossible, count the files yourself and accept the cell as"
                " complete (the program cannot tell which files would be missing)",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "overdue",
        PERSON,
        "files of a cell that its final_summary announces are missing after the grace period",
        "overdue: {why}; its final_summary arrived at {arrived}, and the grace period is over",
        (
            Step(
                "look for the missing {kinds} files on the sequencer, and copy them into"
                " {source}{then}"
            ),
            Step(
                "find the {surplus_kinds} files that do not belong to this cell, and move them out"
                " of {places}"
            ),
            Step(
                "last: if the files are lost, accept the cell as complete without them ({missing})",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "surplus-files",
        PERSON,
        "a cell has more files than its final_summary announces",
        "{why}; its final_summary arrived at {arrived}, and the grace period is over",
        (
            Step(
                "find the {surplus_kinds} files that do not belong to this cell, and move them out"
                " of {places}"
            ),
            Step(
                "last: if all files belong to this cell, accept it as complete ({missing})",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "quiet",
        PERSON,
        "a cell has no final_summary, and no new file for a long time",
        "no new file since {last_file} and no final_summary: has MinKNOW stopped without one?",
        (
            Step("look at the run in MinKNOW: is it still running, has it crashed?"),
            Step(
                "if its acquisition has ended, accept the files that are here as complete (the"
                " program cannot tell which files would be missing)",
                ACCEPT,
            ),
        ),
    ),
    AttentionKind(
        "never-started",
        NOTE,
        "a cell has a directory and no data for a long time",
        "it has a directory since {last_file}, and no data file and no final_summary",
        (
            Step("look in MinKNOW whether this run was ever started"),
            Step(
                "if it never was, disregard the cell",
                "hesiod-watch abort {run} {cell} --why …",
            ),
        ),
    ),
    AttentionKind(
        "data-lost",
        PERSON,
        "flags of a cell exist, and its directory is missing",
        "it is recorded in flags, but its directory is not here{and_listed}",
        (
            Step("find its directory, and put it back to {landing}"),
            Step("to have it copied again, move its flags away: {its_flags}"),
        ),
    ),
    AttentionKind(
        "not-processed",
        NOTE,
        "a cell is complete, and runs of its type are not processed",
        "its run is of the type {type}, and runs of this type are not processed",
        (Step("to have it processed, write another type into {type_file}"),),
    ),
    AttentionKind(
        "waiting-for-space",
        PERSON,
        "a worker waits because a disk is full or a quota is reached; it resumes by itself",
        "its worker waits: {why}",
        (Step("make room on {output}, or have the quota raised", "df -h {output}"),),
    ),
    AttentionKind(
        "waiting-for-worker",
        NOTE,
        "work is ready, and all workers of this host are busy",
        "{action} waits for a free worker; held by {holders}",
        (Step("wait, or raise `processing.workers` in the configuration"),),
    ),
    AttentionKind(
        "files-damaged",
        PERSON,
        "MinKNOW's checksums show that files of a processed cell differ or are missing",
        "{why}",
        (
            Step(
                "after copying the named files again from the sequencer (docs/backup.md says how"
                " to renew the copies)",
                "hesiod-watch verify {run} {cell} --backup",
            ),
        ),
    ),
    AttentionKind(
        "copy-damaged",
        PERSON,
        "results or copies of a processed cell are damaged or missing",
        "{why}",
        (
            Step(
                "copy damaged and missing files to its backups again",
                "hesiod-watch perform backup {backed_up_run} {cell}",
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
        "not backed up: {why}",
        (
            Step(
                "after fixing the cause, copy it now",
                "hesiod-watch perform backup {run} {cell}",
            ),
        ),
    ),
    AttentionKind(
        "accepted-short",
        NOTE,
        "a person accepted a cell as complete although files were missing",
        "{why}",
        (),
    ),
    AttentionKind(
        "no-reads",
        NOTE,
        "a cell is processed and has no reads",
        "it is processed, and it has no reads{why}",
        (Step("look in MinKNOW: was basecalling off, or did it write another format?"),),
    ),
    AttentionKind(
        "new-data",
        PERSON,
        "data of a cell arrived after it was processed",
        "data arrived after it was processed: {why}",
        (Step("process it again", "rm {done_flag}"),),
    ),
    AttentionKind(
        "results-moved",
        PERSON,
        "the results of a processed cell are not at the link's target any more",
        "its results are not in {results}",
        (
            Step("put the results back to {results}, then", "hesiod-watch verify {run} {cell}"),
            Step("or process it again", "rm {done_flag}"),
        ),
    ),
)
