"""Kinds of attention: the one table of what can be blocked, with each sentence and its steps.

The kinds of the whole site are in `attention_site_kinds`, those of a cell in
`attention_cell_kinds`. `.ci/attention_kinds.py` writes this table into
docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from hesiod_watch.core.attention import AttentionKind, Severity, Step, Stops
from hesiod_watch.core.attention_cell_kinds import CELL_KINDS
from hesiod_watch.core.attention_site_kinds import SITE_KINDS

NOTE, PERSON = Severity.NOTE, Severity.PERSON

_RUNS = (
    AttentionKind(
        "unreadable",
        PERSON,
        "a run, its `pipeline/` or a library in it cannot be read by the user of hesiod-watch",
        "{why}",
        (
            Step(
                "show what it is: it must be a directory that the user of hesiod-watch may read and"
                " enter",
                "ls -ld {path}",
            ),
        ),
    ),
    AttentionKind(
        "not-permitted",
        PERSON,
        "the user of hesiod-watch may not write the flags or the results of a run",
        "{why}",
        (
            Step(
                "show its owner and mode, and let the user of hesiod-watch write it",
                "ls -ld {path}",
            ),
        ),
    ),
    AttentionKind(
        "not-trusted",
        PERSON,
        "an account that is not trusted made the run's `pipeline/`, so no work is done",
        "{why}",
        (
            Step(
                "if you trust that user's flags, add the user to `landing_owners` in the"
                " configuration"
            ),
            Step(
                "have the run taken up anew: move its flags out of the landing area",
                "mv {pipeline} {pipeline_aside}",
            ),
        ),
    ),
    AttentionKind(
        "run-failed",
        PERSON,
        "the flag `failed` of the run stops all work on it",
        "the run is flagged failed: {why}",
        (
            Step(
                "after fixing the cause, also of failed cells", "hesiod-watch retry {run} --why …"
            ),
            Step("after fixing the cause, remove only this flag", "rm {run_flag}"),
        ),
    ),
    AttentionKind(
        "run-aborted",
        NOTE,
        "a person disregards the run",
        "the run is flagged aborted: {why}",
        (Step("to undo, remove the flag", "rm {run_flag}"),),
    ),
    AttentionKind(
        "run-stripped",
        NOTE,
        "the cell data of the run were removed from the landing area on purpose",
        "the run is flagged stripped: {why}",
        (Step("if its data are to be worked on again, remove the flag", "rm {run_flag}"),),
    ),
    AttentionKind(
        "no-upstream",
        NOTE,
        "`pipeline/upstream` of a run is missing, so it is unknown where the run comes from",
        "pipeline/upstream is missing, so the run's upstream is unknown, and nothing is done",
        (
            Step(
                "if a sequencer writes the run into the landing area itself",
                "echo LOCAL > {upstream_flag}",
            ),
            Step("otherwise write the upstream of the run into {upstream_flag}"),
        ),
    ),
    AttentionKind(
        "upstream-unreadable",
        PERSON,
        "`pipeline/upstream` of a run cannot be read, or has not exactly one line",
        "the run's upstream is unknown, and nothing is done: {why}",
        (Step("make it a readable file of one line, then look again", "cat {upstream_flag}"),),
    ),
    AttentionKind(
        "upstream-unconfigured",
        PERSON,
        "the upstream of a run is not in the configuration, so its cells are never completed",
        "waits for its upstream {upstream}, which is not in the configuration",
        (
            Step("add the upstream of {upstream} to `upstreams` in the configuration"),
            Step(
                "if all data of the run are here, have it treated as a run of this landing area",
                "echo LOCAL > {upstream_flag}",
            ),
        ),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "upstream-lost-run",
        PERSON,
        "a run that waits for files is not on its upstream any more: renamed, moved or deleted",
        "its upstream {upstream} has no run {location} any more, so its files cannot come",
        (
            Step("look at what the upstream has", "hesiod-watch list-upstream {upstream}"),
            Step("if it was renamed or moved there, give it its former name and place again"),
            Step(
                "if it comes again under its new name, disregard its unfinished cells here with"
                " `hesiod-watch abort`"
            ),
            Step("if it was deleted there, look for another copy, and copy it into {path}"),
        ),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "no-results",
        PERSON,
        "`pipeline/output` of a run is missing or leads to no directory of the output area",
        "{why}; no work is started without a directory for its results",
        (
            Step(
                "a file is in the place of the directory: move the file aside, then make it",
                "mv {in_place} {in_place_aside} && mkdir {in_place}",
            ),
            Step("if the results are new", "mkdir -p {results} && ln -sfn {results} {output_link}"),
            Step("otherwise have {output_link} lead to the directory of the run's results"),
        ),
    ),
    AttentionKind(
        "results-moved",
        NOTE,
        "all cells of a run are finished, and its results are not at the link's target any more",
        "its results are not where its link leads: {why}",
        (Step("put the results back, or have {output_link} lead to where they are"),),
    ),
    AttentionKind(
        "results-elsewhere",
        PERSON,
        "`pipeline/output` of a run leads to the results of another run",
        "{why}; nothing is written until then",
        (Step("have {output_link} lead to the directory of this run's results"),),
    ),
    AttentionKind(
        "type-unknown",
        NOTE,
        "a run has no type of the configuration, and is treated like any other",
        "{why}",
        (Step("correct the type in {type_file}"),),
        Stops.NOTHING,
    ),
    AttentionKind(
        "stale-sync",
        PERSON,
        "it is unknown whether the owner of a sync is alive, and for an hour nothing has changed",
        "a sync was begun, and its owner can neither be seen alive nor proven dead ({why})",
        (Step("if you have checked that it is dead", "rm {sync_flag}"),),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "sync-elsewhere",
        NOTE,
        "another host copies the run from its upstream, as far as this host can tell",
        "a sync is under way, and this host cannot tell whether its owner is alive ({why})",
        (Step("if you have checked that it is dead", "rm {sync_flag}"),),
        Stops.NOTHING,
    ),
    AttentionKind(
        "sync-failed",
        PERSON,
        "copying from the upstream needs a person, or fails for an hour; it is tried again",
        "copying from {upstream} has failed: {why}",
        (
            Step(
                "after fixing the cause, copy it now",
                "hesiod-watch perform sync {run}",
            ),
        ),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "run-files-behind",
        PERSON,
        "a run's own files (page, logs, flags) are not on all its backups; copying is tried again",
        "the run's own files are not backed up: {why}",
        (
            Step(
                "after fixing the cause, copy them now",
                "hesiod-watch perform backup {run}",
            ),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "action-refused",
        PERSON,
        "an action was tried and has failed outside its flags; it is tried again",
        "{action} was tried {attempts} and has failed: {why}",
        (
            Step(
                "after fixing the cause, try it now", "hesiod-watch perform {action} {run} {cell}"
            ),
            Step("after fixing the cause, try it now", "hesiod-watch perform {action} {of_run}"),
        ),
    ),
    AttentionKind(
        "undelivered",
        PERSON,
        "messages about a run cannot be delivered; they are kept, and delivery is tried again",
        "{why}",
        (
            Step("show the messages", "hesiod-watch messages {run}"),
            Step(
                "if you have checked that the process that delivers them is dead",
                "rm {notify_claim}",
            ),
            Step("after fixing the cause, retry the delivery of messages now", "rm {notify_flag}"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "delivery-retried",
        NOTE,
        "messages about a run could not be delivered at once; delivery is tried again",
        "{why}",
        (
            Step("show the messages", "hesiod-watch messages {run}"),
            Step("retry the delivery of messages now", "rm {notify_flag}"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "quarantined",
        PERSON,
        "a name is not allowed, so no work is done on it",
        "{it} not worked on: {why}",
        (Step("rename {name}, so that it can be worked on safely"),),
        Stops.NOTHING,
    ),
    AttentionKind(
        "doubled",
        PERSON,
        "the same cell is in two libraries of a run, so neither is worked on",
        "{it} not worked on: {why}",
        (Step("compare the copies of the cell, and move one of them out of the run"),),
        Stops.NOTHING,
    ),
    AttentionKind(
        "pooled",
        PERSON,
        "files in a pooled directory name no acquisition, so it is not known which cell has them",
        "{it} not worked on: {why}",
        (
            Step(
                "move these files into the directory of their cell, RUN/LIBRARY/CELL, as MinKNOW"
                " names it, or out of the run; another name does not help"
            ),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "link",
        PERSON,
        "a run, a library or a cell is a symbolic link; links are not followed",
        "{it} a symbolic link, and links are not followed",
        (Step("move or mount the directory itself to the place of the link {name}"),),
        Stops.NOTHING,
    ),
    AttentionKind(
        "wrong-level",
        PERSON,
        "cells are one level too high or too deep, so they are not found",
        "{it} not worked on: {why}",
        (Step("move it, so that the cell is at {area}/RUN/LIBRARY/CELL"),),
        Stops.NOTHING,
    ),
)

KINDS: Mapping[str, AttentionKind] = {
    kind.name: kind for kind in (*SITE_KINDS, *_RUNS, *CELL_KINDS)
}
"""All kinds, in the order of precedence: the first one that applies is the blocking cause.

A cause outside a run comes before one in the run, and that before one in a cell.
"""
