"""Flags: small files under `RUN/pipeline/`, the program's only memory.

No other module knows their names. Flags are only added, and the file system decides about each one
once (`flag_files`). So a reader sees the present state or an earlier true one, never a wrong one.
No decision depends on a flag's age, and no flag is deleted. There are two exceptions: `attic` moves
flags for a person, and `attempts` renames and deletes the flags of work that may be repeated
without harm.

Claim protocol
--------------

One worker at a time processes a cell. A *decider* claims the cell and starts a *worker* in another
process. The worker may be a Slurm job that begins hours after the decider has ended. Each claim has
a number N, its *epoch*, and three flags, each created once:

- `started.N` names the decider;
- `started.N.worker` names the worker;
- `started.N.yielded` says that one of the two gives N up.

A fourth flag, `started.N.died`, is for people and for the pause before the next attempt: the
decider records how its worker ended without a result. It proves nothing, and the protocol does not
need it.

The number 1 is not written: `started`, `started.worker`.

decider of N
    D1  create started.N
    D2  list; on done, failed, aborted, an epoch above N, or a worker of an epoch below N that is
        not proven dead: create yielded, stop
    D3  start the worker
worker of N
    W1  create started.N.worker
    W2  list; on done, failed, aborted, any epoch above N, yielded: create yielded, stop
    W3  work, create done or failed

*At most one worker works.* Suppose workers of M < N both reached W3. W2 of M did not see started.N,
so its listing began before D1 of N ended. W1 of M came before that listing. Hence started.M.worker
existed before D2 of N listed, and D2 saw it. D2 continued only because that worker was proven dead
or had itself reported that it does not work. So it was not working. Two workers of one N are
impossible, since started.N.worker is created once.

The proof needs one property of a listing: it shows what existed before it began. A listing that
does not show our own new flag is not believed. The proof needs no clocks. It does not need a
correct judgement about a decider's death either: a living worker that has not recorded itself yet
finds the later epoch in W2.

*No cell is blocked for ever.* Both may give up. Each such meeting uses up a worker that was started
before, so it cannot repeat without end. Afterwards each claim is in one of these states:

- given up by its owner, or its owner is proven dead: the next pass claims the next number;
- its owner lives: the owner works on the cell, or the decider knows that its child ended without a
  record and gives the claim up;
- no proof is possible (another host is unavailable, a flag is empty): a person runs `release`.

A process killed between any two steps leaves one of these states.

A claim is shown as dead only if no worker of an earlier epoch may still live. Otherwise claim after
claim would be made beside that worker and given up again. A yielded flag counts only if the process
that made the claim or the worker's record also made the flag. Reason: a process that cannot find
out whether its claim succeeded gives it up too, and that must not affect the claim of the process
that won.
"""

from hesiod_watch.runs.flags.attempts import (
    AttemptOutcome,
    attempt_lock,
    begin_attempt,
    end_attempt,
    end_dead_attempt,
    require_attempt,
)
from hesiod_watch.runs.flags.attic import archive_attempt, archive_flags
from hesiod_watch.runs.flags.claims import (
    claim_cell,
    reason_to_stop,
    record_death,
    record_worker,
    release_claim,
)
from hesiod_watch.runs.flags.flag_files import create, owner_of
from hesiod_watch.runs.flags.listing import FlagListing, read_flags
from hesiod_watch.runs.flags.names import (
    BACKUP,
    NOTIFY,
    SYNC,
    aborted,
    backup,
    checksums,
    deletable,
    died,
    done,
    failed,
    hook,
    ingest,
    job_of,
    second_copy,
    started,
    strip,
    synced,
    verify,
    wanted,
    work_of,
    worker,
    yielded,
)
from hesiod_watch.runs.flags.outbox import (
    begin_outbox,
    mark_delivered,
    number,
    put_message,
    read_messages,
    read_outbox,
    read_run,
    read_text,
    read_ticket,
    site_subject,
    write_ticket,
)
from hesiod_watch.runs.flags.output_owner import (
    BACK_LINK,
    RunIdentity,
    foreign_owner,
    identify,
    read_record,
)
from hesiod_watch.runs.flags.pipeline import Pipeline, SitePipeline
from hesiod_watch.runs.flags.pipeline_owner import find_foreign_maker
from hesiod_watch.runs.flags.run_facts import (
    adopt,
    find_output,
    log_directory,
    own_output,
    read_type,
    read_upstream,
    upstream_or_why,
    write_type,
)
