"""Claims of one cell, from a listing of the flags of its run.

A cell's claims are numbered. Each has a decider, which made the flag, and a worker, which records
itself when it begins. Either may have given the claim up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.ownership import Claim, Liveness, Owner, WorkerDeath
from hesiod_watch.core.records import record_in
from hesiod_watch.rules.liveness import Judge, same_process
from hesiod_watch.runs.flags import names

if TYPE_CHECKING:
    from hesiod_watch.runs.flags.listing import FlagListing

CLAIMS_READ = 16
"""Number of the newest claims of a cell that each look reads; older ones rarely matter."""


@frozen
class ClaimEpoch:
    """One attempt at a cell: its decider, its worker, and which of the two has given it up."""

    number: int
    has_claim: bool
    decider: Owner | None
    has_worker: bool
    worker: Owner | None
    decider_yielded: bool
    worker_yielded: bool
    made: float = 0.0  # mtime of the claim, seconds since the epoch; 0.0 if unknown
    death: WorkerDeath | None = None  # as recorded by the decider

    @property
    def over(self) -> bool:
        """Whether no process works in this epoch, or ever will.

        Its worker gave it up, or its decider did before a worker existed. A worker that has
        recorded itself counts until it gives up or is proven dead. A number without a claim was
        given up by a process whose claim never succeeded.
        """
        return self.worker_yielded or (
            not self.has_worker and (self.decider_yielded or not self.has_claim)
        )

    @property
    def granted(self) -> bool:
        """Whether its decider has started its worker, or works itself: it was granted the claim."""
        if self.worker is None or self.decider is None:
            return False
        return self.worker.token == self.decider.token or same_process(self.worker, self.decider)

    @property
    def may_work(self) -> bool:
        """Whether a worker has recorded itself and has not given up."""
        return self.has_worker and not self.worker_yielded


class CellClaims:
    """The claims of the cell whose flags begin with `stem`."""

    def __init__(self, listing: FlagListing, stem: str) -> None:
        self._listing = listing
        self._facts = listing.facts(stem)
        self.numbers = sorted({epoch for fact, epoch in self._facts if fact in names.OF_A_CLAIM})
        """Numbers of the attempts, lowest first; any flag of an attempt counts."""

    def epochs(self) -> list[ClaimEpoch]:
        """Attempts with their owners, lowest first. Reads their flags."""
        return [self._epoch(number) for number in self.numbers]

    def judged(self, judge: Judge) -> tuple[Claim, ...]:
        """Claims, lowest first, with the liveness of their owners."""
        read = self._that_matter()
        claims = []
        # A worker of an earlier epoch that is not proven dead.
        earlier: tuple[Liveness, str] | None = None
        for number in self.numbers:
            if number not in read:
                claims.append(self._earlier_claim(number))
                continue
            epoch = read[number]
            liveness, evidence = judge(epoch.worker if epoch.has_worker else epoch.decider)
            # Its starter saw the end of the worker, and may itself live on.
            if epoch.death and not (epoch.has_worker and liveness is Liveness.ALIVE):
                liveness, evidence = Liveness.DEAD, epoch.death.reason
            working = epoch.may_work and liveness is not Liveness.DEAD
            shown = (liveness, evidence)
            # Its owner died before it could give the claim up because of the earlier worker. If
            # this claim counted as dead, other processes would take it over and give it up again
            # for as long as that worker lives.
            if liveness is Liveness.DEAD and earlier and not epoch.over:
                shown = earlier
            claims.append(
                Claim(
                    *(epoch.number, epoch.decider, epoch.worker, epoch.over, *shown),
                    epoch.made,
                    epoch.death,
                )
            )
            if working:
                earlier = liveness, f"attempt {epoch.number} still has a worker: {evidence}"
        return tuple(claims)

    def unread(self) -> tuple[Claim, ...]:
        """Claims of a cell that is done: their flags are not read, and their owners not judged."""
        why = "not asked: the cell is done"
        return tuple(
            Claim(number, None, None, False, Liveness.UNKNOWN, why, asked=False)
            for number in self.numbers
        )

    def _that_matter(self) -> dict[int, ClaimEpoch]:
        """The newest attempts, and those that decide who may work, by number. Reads their flags.

        The recorded worker of a claim proves that no earlier attempt works: it was started when
        each earlier worker was proven dead, and a worker that begins later sees the claim and gives
        up. A claim below another one that has no worker's flag gets none for the same reason.
        """
        read = dict[int, ClaimEpoch]()
        counts = proven = False  # whether a claim that was read counts, and proves the above
        for number in reversed(self.numbers):
            had_worker = bool(self._name("worker", number))
            may_count = not counts and (had_worker or not self._name("yielded", number))
            if len(read) < CLAIMS_READ or may_count or (had_worker and not proven):
                epoch = read[number] = self._epoch(number)
                counts = counts or not epoch.over
                proven = proven or epoch.granted
        return read

    def _earlier_claim(self, number: int) -> Claim:
        """Claim whose flags are not read; the time of its flag says whether it is recent."""
        name = self._name("started", number) or self._name("worker", number)
        given_up = not name or bool(self._name("yielded", number))
        made = 0.0 if given_up else self._listing.mtime(name)
        why = "a later attempt was claimed"
        return Claim(number, None, None, given_up, Liveness.DEAD, why, made, asked=False)

    def _epoch(self, number: int) -> ClaimEpoch:
        claim, worker_flag = self._name("started", number), self._name("worker", number)
        decider, worker = self._listing.owner(claim), self._listing.owner(worker_flag)
        yielder = self._listing.owner(self._name("yielded", number))
        # The process that gives up makes this flag. A process that could not find out whether its
        # claim had succeeded makes it too, as a precaution. Then the flag must not count against
        # the process that really has the claim.
        return ClaimEpoch(
            number,
            bool(claim),
            decider,
            bool(worker_flag),
            worker,
            decider_yielded=bool(yielder and decider and same_process(yielder, decider)),
            worker_yielded=bool(yielder and worker and same_process(yielder, worker)),
            made=self._listing.made(claim or worker_flag),
            death=self._death(number, decider),
        )

    def _death(self, number: int, decider: Owner | None) -> WorkerDeath | None:
        """Death of a claim's worker. It counts only with the token of the claim."""
        record = record_in(self._listing.text(self._name("died", number)))
        if decider is None or record.get("token") != decider.token:
            return None
        return WorkerDeath(str(record.get("reason", "")), str(record.get("time", "")))

    def _name(self, fact: str, number: int) -> str:
        """Name of a flag of an attempt; "" if there is none."""
        return self._facts.get((fact, number), "")
