"""Steps of disks and mounted sequencers: they come, are away, return, and are damaged."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hesiod_watch.config import parse
from hesiod_watch.remote.backup.init import initialise_backup
from tests.world.commands import Slowness
from tests.world.product import Answer
from tests.world.sequencer import SequencedCell
from tests.world.world import HERE, World

MOST_CELLS = 3
EXPERIMENTS = ("alpha", "beta")


def add_backup(world: World, number: int) -> None:
    """The site gets a backup on another disk, and raw data are removed a day after their end."""
    if world.backup or not (place := _other_disk(world.root)):
        return
    world.backup = Path(tempfile.mkdtemp(prefix="world-backup-", dir=place))
    world.more += f"backups: {{second: {{location: {world.backup}}}}}\nstrip: {{after: 1 day}}\n"
    world.configure()
    path = world.hosts[HERE].config
    config = parse(path.read_text(), path)

    def prepare() -> Answer:
        initialise_backup(config.backups[0], config)
        return Answer()

    world.checked(world.perform(prepare))


def connect(world: World, number: int) -> None:
    """A sequencer is mounted here."""
    if not world.sequencer.exists() and shutil.which("rsync"):
        world.sequencer.mkdir()
        world.more += (
            f"upstreams:\n  local: {{location: LOCAL}}\n"
            f"  prom: {{location: {world.sequencer}, instrument: PROM}}\n"
        )
        world.configure()


def begin_there(world: World, number: int) -> None:
    """A cell begins on the sequencer that is mounted."""
    connect(world, number)
    here = world.sequencer.exists() and world.sequencer not in world.away
    if len(world.cells) < MOST_CELLS and here:
        experiment, library = EXPERIMENTS[number % 2], f"lib{number // 2 % 2}"
        place, run = world.sequencer / experiment, f"20261122_PROM_{experiment}"
        cell = SequencedCell(len(world.cells), run, library, place, world.landing / run)
        world.cells.append(cell)
        cell.land()
        world.rested = False


RSYNC = """\
#!/bin/sh
# rsync, which is cut off while there is a file CUT: before it begins, in the middle, at its end.
cut=$0.cut
[ -f "$cut" ] || exec {rsync} "$@"
read -r how <"$cut"
rm -f "$cut"
case $how in
    0) exit 12 ;;
    1) {rsync} --exclude='*_fail_*' --exclude='*.pod5' "$@"; exit 30 ;;
    *) {rsync} "$@"; kill -9 $$ ;;
esac
"""


def cut_copy(world: World, number: int) -> None:
    """The next copy by rsync, from a sequencer or to a backup, is cut off."""
    if rsync := shutil.which("rsync"):
        program = world.bin / "rsync"
        program.write_text(RSYNC.format(rsync=rsync))
        program.chmod(0o755)
        (world.bin / "rsync.cut").write_text(f"{number % 3}\n")


def rename_there(world: World, number: int) -> None:
    """A run is renamed on the sequencer."""
    place = world.sequencer / EXPERIMENTS[number % 2]
    aside = place.with_name(f"{place.name}_renamed")
    if place.exists() and world.sequencer not in world.away and not aside.exists():
        place.rename(aside)
        world.renamed[place] = aside
        _follow(world, place, aside)


def rename_back(world: World, number: int) -> None:
    """Runs on the sequencer get their former names again."""
    for place, aside in list(world.renamed.items()):
        if world.sequencer not in world.away:
            if place.exists():  # another cell of the run has begun meanwhile
                shutil.copytree(place, aside, dirs_exist_ok=True)
                shutil.rmtree(place)
            aside.rename(place)
            del world.renamed[place]
            _follow(world, aside, place)


def _follow(world: World, old: Path, new: Path) -> None:
    """Note where the cells of a renamed run are; what is here of a cell keeps its place."""
    for cell in world.cells:
        if cell.place == old:
            cell.place = new
            known = list(world.pipeline(cell).glob(f"{cell.name}.*"))
            if not known and not cell.here.exists():
                cell.run = f"20261122_PROM_{new.name}"
                cell.landing = world.landing / cell.run


def take_away(world: World, number: int) -> None:
    """A file system is not mounted any more; the directory in its place is empty."""
    places = [world.landing, world.output, world.sequencer, world.backup]
    place = places[number % 4]
    if place == world.landing and not list(world.output.glob("*/rundata")):
        return  # an empty area is that of a new site
    if place == world.output and not any(
        world.denied.keys().isdisjoint(link.parents)
        for link in world.landing.glob("*/pipeline/output")
    ):
        return  # no run says that its results are there
    if place and place.exists() and place not in world.away:
        place.rename(place.with_name(f"{place.name}.away"))
        place.mkdir()
        world.away.append(place)


def bring_back(world: World, number: int) -> None:
    """All file systems are mounted again."""
    while world.away:
        place = world.away.pop()
        place.rmdir()
        place.with_name(f"{place.name}.away").rename(place)


def fall_silent(world: World, number: int) -> None:
    """The sequencer does not answer any more: its commands hang, from the first or a later one."""
    if world.sequencer.exists():
        world.slowness = Slowness(str(world.sequencer), number % 12, for_ever=True)


def become_slow(world: World, number: int) -> None:
    """The sequencer takes nearly a minute for each answer."""
    if world.sequencer.exists():
        world.slowness = Slowness(str(world.sequencer), 0, for_ever=False)


def answer_again(world: World, number: int) -> None:
    """The sequencer answers as before."""
    world.slowness = None


def damage_backup(world: World, number: int) -> None:
    """A file on the backup is cut off or lost."""
    if world.backup and world.backup not in world.away:
        found = sorted(
            path
            for path in world.backup.rglob("*")
            if path.is_file() and path.parent != world.backup and path.stat().st_size
        )
        if found:
            path = found[number // 2 % len(found)]
            path.write_bytes(path.read_bytes()[:-1]) if number % 2 else path.unlink()
            world.backup_is_whole = False


def verify(world: World, number: int) -> None:
    """A person has all copies of a cell read again."""
    if cell := world.some(number):
        world.checked(world.command("verify", cell.run, cell.id, "--backup"))


def _other_disk(root: Path) -> Path | None:
    """Directory on another file system than the world."""
    device = root.stat().st_dev
    for place in map(Path, (tempfile.gettempdir(), "/var/tmp", ".", "/dev/shm")):
        if place.is_dir() and place.stat().st_dev != device:
            return place.resolve()
    return None


STEPS = {
    step.__name__: step
    for step in (
        *(add_backup, connect, begin_there, cut_copy, rename_there, rename_back),
        *(take_away, bring_back, fall_silent, become_slow, answer_again),
        *(damage_backup, verify),
    )
}
