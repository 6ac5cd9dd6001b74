"""An ingest that is killed, fails or loses power at any moment continues to the same bytes."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from disks import Change, Disk, Fault, Killed, Platter, install, no_fault
from growing import CELLS, LIMITS, SETTINGS, expected, grow, written
from open_runs import ANYWHERE

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.fastq.ingest import Ingest

OTHER_DATA = "not as it was written"
"""Part of the note about durable data that are missing."""


class World:
    """A cell, its expected outputs, and new directories to build them in."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
        self.outputs = CELLS[form](place / "sources")
        self.expected = expected(place / "undisturbed", self.outputs)
        self._place = place
        self._monkeypatch = monkeypatch
        self._count = 0

    def new_place(self, contents: dict[str, bytes] | None = None) -> Path:
        self._count += 1
        directory = self._place / str(self._count)
        if contents is not None:
            directory.mkdir()
            for name, data in contents.items():
                (directory / name).write_bytes(data)
        return directory

    def disk(self, directory: Path, fault: Fault = no_fault, **how: int) -> Disk:
        """Install a disk through which `durable` writes from now on."""
        disk = Disk(directory, fault, **how)
        install(self._monkeypatch, disk)
        return disk

    def recover(self, directory: Path, *, check_all: bool, acknowledged: int = 0) -> str:
        """Continue to the end on a sound disk; return the problem of the result, or ""."""
        install(self._monkeypatch, os)
        return self.continue_ingest(directory, check_all=check_all, acknowledged=acknowledged)

    def continue_ingest(self, directory: Path, *, check_all: bool, acknowledged: int = 0) -> str:
        try:
            with Ingest.open(
                directory, ANYWHERE, SETTINGS, owner={}, check_all=check_all, limits=LIMITS
            ) as ingest:
                if ingest.sources < acknowledged:
                    return f"{acknowledged} pieces were acknowledged, {ingest.sources} are left"
                results = ingest.finish(self.outputs)
                if any(OTHER_DATA in note for note in ingest.notes):
                    return "; ".join(ingest.notes)
        except HesiodError as error:
            return repr(error)
        if written(directory, self.outputs) != self.expected:
            return "other bytes"
        if [result.reads for result in results] != [12, 4, 4, 0]:
            return "other reads"
        return ""


@pytest.fixture(params=CELLS)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    return World(tmp_path, monkeypatch, request.param)


def calls_of(world: World) -> list[str]:
    """The kinds of all changes of an undisturbed run, in order."""
    directory = world.new_place()
    disk = world.disk(directory)
    grow(directory, world.outputs)
    assert written(directory, world.outputs) == world.expected
    return disk.calls


def test_the_recorder_sees_everything(world: World) -> None:
    """The recorded changes, played again, give exactly the files on disk.

    So no other code writes.
    """
    directory = world.new_place()
    disk = world.disk(directory)
    grow(directory, world.outputs)
    platter = Platter()
    for change in disk.changes:
        platter.play(change)
    assert platter.contents() == {path.name: path.read_bytes() for path in directory.iterdir()}


def test_killed_at_any_change(world: World) -> None:
    """After a kill at any change the next process finishes with the same bytes.

    Nothing recorded is done again.
    """
    for number in range(len(calls_of(world))):

        def kill(kind: str, call: int, at: int = number) -> None:
            if call >= at:
                raise Killed

        directory = world.new_place()
        disk = world.disk(directory, kill)
        with pytest.raises(Killed):
            grow(directory, world.outputs)
        disk.die()
        assert world.recover(directory, check_all=False) == "", (
            f"killed at change {number}: {disk.calls[-1]}"
        )


def failing(code: int, at: int) -> Fault:
    def fail(kind: str, call: int) -> None:
        if call == at:
            raise OSError(code, os.strerror(code))

    return fail


def test_no_room_at_any_change(world: World) -> None:
    """A full disk is temporary at any change; the next ingest continues when there is room."""
    for number in range(len(calls_of(world))):
        directory = world.new_place()
        world.disk(directory, failing(errno.ENOSPC, number))
        try:
            grow(directory, world.outputs)
        except TemporaryError:
            pass
        assert world.recover(directory, check_all=False) == "", f"full at change {number}"


def test_the_same_ingest_continues_when_there_is_room(world: World) -> None:
    """One object, called again with a little more room each time, loses and doubles nothing."""
    directory = world.new_place()
    waiting = 0
    rng = random.Random(7)

    def full(kind: str, call: int) -> None:
        if kind == "write" and rng.random() < 0.3:
            raise OSError(errno.EDQUOT, "over quota")

    disk = world.disk(directory)
    with Ingest.open(
        directory, ANYWHERE, SETTINGS, owner={}, check_all=False, limits=LIMITS
    ) as ingest:
        disk.fault = full
        while True:
            try:
                ingest.finish(world.outputs)
                break
            except TemporaryError:
                waiting += 1
                assert waiting < 50
    assert waiting > 2
    assert world.recover(directory, check_all=True) == ""


def test_a_failing_disk_at_any_change(world: World) -> None:
    """After EIO a file is not synced again; a new ingest continues from the journal."""
    for number in range(len(calls_of(world))):
        directory = world.new_place()
        disk = world.disk(directory, failing(errno.EIO, number))
        try:
            grow(directory, world.outputs)
        except PermanentError:
            assert "sync" not in disk.calls[number + 1 :], (
                f"synced again after the error at change {number}"
            )
        assert world.recover(directory, check_all=False) == "", f"failed at change {number}"


@pytest.mark.parametrize("longest_write", [1, 100, 1000])
def test_short_writes(longest_write: int, world: World) -> None:
    """A system that accepts a few bytes per write receives them all."""
    directory = world.new_place()
    world.disk(directory, longest_write=longest_write)
    grow(directory, world.outputs)
    assert written(directory, world.outputs) == world.expected


class PowerLoss:
    """The changes of one run, and the possible disks after a power loss in the middle of it."""

    def __init__(
        self, world: World, changes: Sequence[Change], start: dict[str, bytes] | None = None
    ) -> None:
        self.world = world
        self.changes = changes
        self._start = start
        self.states = 0

    def wrong(self, samples: int, seed: int, *, twice: float = 0.3) -> list[str]:
        """Lose power after every change, several times; return the faults at the end.

        `twice`: how often power is lost a second time, in the middle of the recovery.
        """
        found = []
        platter = Platter(self._start)
        for number, change in enumerate(self.changes):
            platter.play(change)
            for sample in range(samples):
                rng = random.Random(f"{seed} {number} {sample}")
                check_all = rng.random() < 0.5
                contents = platter.after_power_loss(rng)
                acknowledged = platter.promises.get("pieces", 0)
                if rng.random() < twice:
                    acknowledged = platter.promises.get("kept", 0)
                    contents = self._again(contents, rng)
                self.states += 1
                if (
                    platter.promises.get("finished")
                    and not self.world.expected.items() <= contents.items()
                ):
                    found.append(f"change {number}, sample {sample}: finished outputs were lost")
                directory = self.world.new_place(contents)
                verdict = self.world.recover(
                    directory, check_all=check_all, acknowledged=acknowledged
                )
                shutil.rmtree(directory)
                if verdict:
                    found.append(f"change {number} ({change.kind}), sample {sample}: {verdict}")
        return found

    def _again(self, contents: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
        """Recover, and lose power in the middle of the recovery."""
        directory = self.world.new_place(contents)
        disk = self.world.disk(directory)
        self.world.continue_ingest(directory, check_all=True)
        shutil.rmtree(directory)
        platter = Platter(contents)
        for change in disk.changes[: rng.randint(0, len(disk.changes))]:
            platter.play(change)
        return platter.after_power_loss(rng)


def recorded(world: World, mutate: Callable[[Disk], None] = lambda disk: None) -> list[Change]:
    directory = world.new_place()
    disk = world.disk(directory)
    mutate(disk)
    grow(directory, world.outputs, disk.promise)
    return disk.changes


def without_syncs(disk: Disk) -> None:
    """A program that omits every fsync and fdatasync."""
    disk.fsync = disk.fdatasync = lambda descriptor: None  # type: ignore[method-assign]  # that is the mutation


def journal_first(disk: Disk) -> None:
    """A program that makes data durable only after it has recorded them as durable."""
    late: list[int] = []
    sync = disk.fsync

    def fdatasync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name.endswith((".gz", ".bam")):
            late.append(disk.inode_of(descriptor))
            return
        sync(descriptor)
        disk.changes.extend(Change("sync", number) for number in late)
        late.clear()

    disk.fdatasync = fdatasync  # type: ignore[method-assign]  # that is the mutation


def test_power_loss(world: World) -> None:
    """After any one or two power losses the outputs end the same, with everything acknowledged."""
    loss = PowerLoss(world, recorded(world))
    assert loss.wrong(2, seed=1) == []
    assert loss.states > 150


@pytest.mark.parametrize("mutate", [without_syncs, journal_first])
def test_power_loss_finds_mutants(mutate: Callable[[Disk], None], world: World) -> None:
    """The same test finds programs that omit a sync or write the journal too early."""
    assert PowerLoss(world, recorded(world, mutate)).wrong(1, seed=1, twice=0)


def test_finished_outputs_are_durable_without_a_checkpoint(world: World) -> None:
    """Outputs returned by `finish` are certain to be on the disk.

    This is also true if there was no room for anything else.
    """

    def full(kind: str, call: int) -> None:
        if kind == "rename" and call > 10:  # the journal was made before
            raise OSError(errno.ENOSPC, "No space left on device")

    disk = world.disk(directory := world.new_place(), full)
    grow(directory, world.outputs)
    platter = Platter()
    for change in disk.changes:
        platter.play(change)
    assert "checkpoint.bin" not in platter.certain()
    assert world.expected.items() <= platter.certain().items()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_power_loss_thousands_of_times(seed: int, world: World) -> None:
    """The test of `test_power_loss` with many more disks."""
    loss = PowerLoss(world, recorded(world))
    assert loss.wrong(12, seed=100 + seed) == []
    assert loss.states > 1000
