"""Flags: small files under `RUN/pipeline/`, the only memory there is. No other module knows their
names.

Flags are only ever added, each by one decision of the file system (`files.create`), so that whoever
looks sees the present or an earlier true state, never a wrong one. Nothing is decided by age,
nothing is unlinked. There are two exceptions: `attic`, a person's, and `rounds`, of work that may
be repeated without harm.

The protocol of claims ---------------------- A cell is processed by one worker at a time. A
*decider* claims it and starts a *worker* in another process, perhaps as a Slurm job that begins
hours later, when the decider is long gone. Each number N of a claim (its *epoch*) has three flags,
each made once: `started.N` names the decider, `started.N.worker` the worker, `started.N.yielded`
says that one of the two gives N up. (N = 1 is not written: `started`, `started.worker`.)

    decider of N  D1 create started.N      D2 list; done, failed, aborted, an epoch above N, or a
    worker of an epoch below N that is not proven dead: create yielded, stop D3 start the worker
    worker of N   W1 create started.N.worker W2 list; done, failed, aborted, any epoch above N,
    yielded: create yielded, stop W3 work, create done or failed

*At most one works.* Suppose workers of M < N both got to W3. W2 of M did not see started.N, so its
listing began before D1 of N was over; its own W1 came before that listing. Hence started.M.worker
was there before D2 of N listed, D2 saw it, and went on only because that worker was proven dead or
had said itself that it does not work. Then it was not working. Two workers of one N cannot be,
since started.N.worker is created once. This needs of a listing only that it shows what was there
before it began, and a listing that does not show our own new flag is not believed. It does not need
clocks, or that a decider's death is judged rightly: a living worker that has not recorded itself
yet finds the later epoch in W2.

*Nothing gets stuck.* It may be that both step back. Each such meeting uses up a worker that had
been started before, so it cannot go on for ever, and every claim is then given up by its owner's
own word, or its owner lives, or is proven dead. Given up or dead: the next look claims the next
number. Alive: it is being worked on, or the decider knows that its child has ended without a record
and steps back. Neither to be proven (another host has gone, an empty flag): a person says
`release`. A process killed between any two steps leaves one of these states.

A claim is shown as dead only if no worker of an earlier epoch may still live; otherwise one claim
after the other would be made beside that worker, and given up again. A yielded flag counts only if
it was made by the process whose claim or record it gives up: who does not learn whether its claim
came through gives it up too, and that word must not touch the claim of whoever got it.
"""

from hesiod_watch.runs.flags.attempts import AttemptOutcome, begin_attempt, end_attempt
from hesiod_watch.runs.flags.attic import archive_flags
from hesiod_watch.runs.flags.claims import (
    claim_cell,
    holds_worker,
    overtaken,
    record_worker,
    release_claim,
    stops,
)
from hesiod_watch.runs.flags.files import create, owner_of, translate
from hesiod_watch.runs.flags.listing import FlagLine, FlagListing, read_flags
from hesiod_watch.runs.flags.names import (
    BACKUP,
    NOTIFY,
    SYNC,
    aborted,
    backup,
    deletable,
    done,
    failed,
    ingest,
    started,
    strip,
    synced,
    verify,
    worker,
    yielded,
)
from hesiod_watch.runs.flags.outbox import (
    begin_outbox,
    mark_delivered,
    number,
    put_message,
    read_letters,
    read_outbox,
    read_ticket,
    write_ticket,
)
from hesiod_watch.runs.flags.output_owner import (
    BACK_LINK,
    RunIdentity,
    foreign_owner,
    identify,
    read_record,
)
from hesiod_watch.runs.flags.run_facts import (
    adopt,
    find_output,
    log_directory,
    own_output,
    read_output,
    read_type,
    read_upstream,
    write_type,
)

__all__ = [
    "BACKUP",
    "BACK_LINK",
    "NOTIFY",
    "SYNC",
    "AttemptOutcome",
    "FlagLine",
    "FlagListing",
    "RunIdentity",
    "aborted",
    "adopt",
    "archive_flags",
    "backup",
    "begin_attempt",
    "begin_outbox",
    "claim_cell",
    "create",
    "deletable",
    "done",
    "end_attempt",
    "failed",
    "find_output",
    "foreign_owner",
    "holds_worker",
    "identify",
    "ingest",
    "log_directory",
    "mark_delivered",
    "number",
    "overtaken",
    "own_output",
    "owner_of",
    "put_message",
    "read_flags",
    "read_letters",
    "read_outbox",
    "read_output",
    "read_record",
    "read_ticket",
    "read_type",
    "read_upstream",
    "record_worker",
    "release_claim",
    "started",
    "stops",
    "strip",
    "synced",
    "translate",
    "verify",
    "worker",
    "write_ticket",
    "write_type",
    "yielded",
]
