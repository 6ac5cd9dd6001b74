"""Sequencers reached over a real ssh: listed, pulled, pushed, cut off, frozen, and never believed in part."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sites import eventually
from sshd_pair import MISSING, Pair, signal_to, sshd_pair
from upstream_cells import CELL, SUMMARY, make_cell, tree

from hesiod_watch.config import Upstream
from hesiod_watch.model import CellId
from hesiod_watch.upstreams import connection, ssh
from hesiod_watch.upstreams.copying import Copied, copy_cell
from hesiod_watch.upstreams.doctor import check_upstream
from hesiod_watch.upstreams.listing import list_upstream
from hesiod_watch.upstreams.running import run

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

BIG = "fastq_pass/big.fastq"


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with sshd_pair() as pair:
        yield pair


class There:
    """A sequencer, a landing area that is mounted there under another name, and a run to be copied."""

    def __init__(self, pair: Pair, root: Path, name: str) -> None:
        self.pair = pair
        self.host = pair.hosta
        self.data = self.host.data / name
        self.data.mkdir()
        self.run = self.data / "My Exp"
        self.landing = root / "landing"
        self.landing.mkdir()
        self.mounted = root / "mounted there"
        self.mounted.symlink_to(self.landing)
        self.copy_of_run = self.landing / "2026" / "20190710_EGS1_My_Exp"
        self.log = root / "sync.log"

    def upstream(self, mode: str = "pull", host: str = "hosta", **changed: object) -> Upstream:
        upstream = Upstream("EGS1", f"{host}:{self.data}", timeout=2, connect_timeout=3, ssh_options=self.pair.options)
        if mode == "push":
            upstream = replace(upstream, mode="push", landing_there=str(self.mounted))
        return replace(upstream, **changed)  # type: ignore[arg-type]  # what a test wants

    def copy(
        self,
        upstream: Upstream,
        cell: CellId = CELL,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Copied:
        return copy_cell(
            upstream,
            f"{upstream.location}/My Exp",
            cell,
            self.copy_of_run,
            landing=self.landing,
            log=self.log,
            on_progress=on_progress,
            stop=stop,
        )

    @property
    def landed(self) -> Path:
        return self.copy_of_run / CELL.library / CELL.name

    def same(self) -> bool:
        return tree(self.run) == tree(self.copy_of_run)


@pytest.fixture
def there(servers: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    """The first server in good order, and connections of this test's own."""
    sockets = servers.directory / "run" / str(time.monotonic_ns())[-6:]
    sockets.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    yield There(servers, tmp_path, tmp_path.name)
    servers.hosta.link.rate = None
    servers.hosta.link.join()
    servers.hosta.thaw()
    servers.hosta.kill_sessions()


# Listing.


def test_listed_over_ssh_as_from_a_mount(there: There) -> None:
    """Over ssh the same runs and cells are listed, and the same names quarantined, as from a mount."""
    make_cell(there.run)
    make_cell(there.data / "run 2", CellId("a", f"{CELL.name}.2"))
    for name in ("$(touch owned)", "`id`", "new\nline", "-rf", "#x", "a;b", "é", "'", '"', "\\"):
        make_cell(there.data / name)
        make_cell(there.run, CellId(name, CELL.name))
    over_ssh = list_upstream(there.upstream())
    mounted = list_upstream(replace(there.upstream(), location=str(there.data)))
    assert over_ssh.problem == ""
    assert over_ssh.quarantined == mounted.quarantined
    assert len(over_ssh.quarantined) == 20
    assert [(run.experiment, run.cells) for run in over_ssh.runs] == [
        (run.experiment, run.cells) for run in mounted.runs
    ]
    assert [run.location for run in over_ssh.runs] == [f"hosta:{there.data}/{name}" for name in ("My Exp", "run 2")]


def test_noise_of_a_login_shell(there: There) -> None:
    """A login shell that greets people does not disturb the listing."""
    make_cell(there.run)
    assert list_upstream(there.upstream(host="noisy-hosta")).runs[0].cells == (CELL,)


def frozen(there: There) -> None:
    there.host.freeze()


def cut(there: There) -> None:
    there.host.link.cut()


def key_changed(there: There) -> None:
    other = there.pair.hostb.known.replace("hostb", "hosta", 1)
    (there.pair.directory / "known_hosts").write_text(other)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(frozen, "does not answer"), (cut, "does not answer"), (key_changed, "the host's key has changed")],
)
def test_unreachable_is_not_empty(trouble: Callable[[There], None], said: str, there: There) -> None:
    """A sequencer in trouble is a problem that is told within its times; afterwards it is listed again."""
    assert list_upstream(there.upstream()).problem == ""
    make_cell(there.run)
    connection.close(there.upstream(), run)
    known = (there.pair.directory / "known_hosts").read_text()
    trouble(there)
    began = time.monotonic()
    listing = list_upstream(there.upstream())
    took = time.monotonic() - began
    (there.pair.directory / "known_hosts").write_text(known)
    assert said in listing.problem
    assert listing.runs == ()
    assert took < 8
    there.host.thaw()
    there.host.link.join()
    assert [run.cells for run in list_upstream(there.upstream()).runs] == [(CELL,)]


@pytest.mark.parametrize("trouble", [frozen, cut])
def test_trouble_on_an_open_connection(trouble: Callable[[There], None], there: There) -> None:
    """A sequencer that freezes behind an open connection is noticed in time, too, and another is opened later."""
    make_cell(there.run)
    assert list_upstream(there.upstream()).problem == ""
    trouble(there)
    began = time.monotonic()
    assert list_upstream(there.upstream()).problem
    assert time.monotonic() - began < 12
    there.host.thaw()
    there.host.link.join()
    assert [run.cells for run in list_upstream(there.upstream()).runs] == [(CELL,)]


def test_nobody_listens(there: There) -> None:
    """A refused connection is told as that, at once."""
    config = there.pair.directory / "nobody"
    config.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    listing = list_upstream(there.upstream(ssh_options=("-F", str(config))))
    assert "the host refuses the connection" in listing.problem


def test_not_let_in(there: There) -> None:
    """A key that is not accepted needs a person, for listing and copying."""
    make_cell(there.run)
    other = there.host.directory / "host_key"
    config = there.pair.directory / "other_key"
    text = (there.pair.directory / "ssh_config").read_text()
    config.write_text(text.replace(f"{there.pair.directory}/key", str(other)))
    upstream = there.upstream(ssh_options=("-F", str(config)))
    assert "does not let us in" in list_upstream(upstream).problem
    copied = there.copy(upstream)
    assert (copied.outcome, copied.verified) == ("failed", False)
    assert "does not let us in" in copied.why


def test_forty_at_once(there: There) -> None:
    """Forty commands at the same time share one connection, and none is turned away, with sshd's own limits."""
    make_cell(there.run)
    before = there.host.link.connections
    with ThreadPoolExecutor(40) as pool:
        upstream = there.upstream(timeout=60)
        listings = list(pool.map(lambda _: list_upstream(upstream), range(40)))
    assert [listing.problem for listing in listings] == [""] * 40
    assert {listing.runs for listing in listings} == {listings[0].runs}
    assert there.host.link.connections == before + 1


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_connection_that_died(there: There) -> None:
    """When the process that holds the shared connection has died, another is opened."""
    make_cell(there.run)
    assert list_upstream(there.upstream()).problem == ""
    control = ssh.control_path(there.upstream())
    assert control is not None
    said = subprocess.run(
        ["ssh", *there.pair.options, "-o", f"ControlPath={control}", "-O", "check", "hosta"],
        capture_output=True,
        text=True,
    ).stderr
    pid = int(said.partition("pid=")[2].partition(")")[0])
    signal_to(pid, signal.SIGKILL)
    eventually(lambda: not running(pid), "it has died")
    assert list_upstream(there.upstream()).problem == ""
    assert ssh.answers(control)


def test_without_a_place_for_the_socket(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no socket can be had, every command connects by itself."""
    make_cell(there.run)
    monkeypatch.setattr(ssh, "_LONGEST_SOCKET", 0)
    before = there.host.link.connections
    for _ in range(2):
        assert list_upstream(there.upstream()).runs[0].cells == (CELL,)
    assert there.host.link.connections == before + 2


@pytest.mark.slow
def test_five_hundred_runs(there: There) -> None:
    """Five hundred runs of four cells are listed by one question on one connection, within seconds."""
    for number in range(500):
        for cell in range(4):
            (there.data / f"run{number}" / f"lib{cell // 2}" / f"20190710_172{cell}_1A_PAD3857{cell}_c6ded78b").mkdir(
                parents=True
            )
    before = there.host.link.connections
    began = time.monotonic()
    listing = list_upstream(there.upstream(timeout=60))
    assert time.monotonic() - began < 20
    assert there.host.link.connections == before + 1
    assert (len(listing.runs), sum(len(run.cells) for run in listing.runs)) == (500, 2000)


# Copying.


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_odd_names(mode: str, there: There) -> None:
    """Every file of a cell arrives under its own name with its content, whatever it is called; no name is executed."""
    make_cell(there.run, odd=True)
    copied = there.copy(there.upstream(mode))
    assert (copied.outcome, copied.why, copied.verified) == ("done", "", True)
    assert there.same()
    for directory in (Path.cwd(), Path.home(), there.landing, there.copy_of_run):
        assert not [name for name in os.listdir(directory) if "owned" in name]


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_place_with_odd_names(mode: str, there: There) -> None:
    """The upstream's own directory may have any name that can be written on a line, patterns and quotes included."""
    odd = there.data / "a *[b]? 'c' $(touch owned) \\ ü;#"
    run_dir = odd / "My Exp"
    make_cell(run_dir)
    make_cell(there.data / "a xb 'c'" / "My Exp")
    there.run = run_dir
    copied = there.copy(there.upstream(mode, location=f"hosta:{odd}"))
    assert (copied.why, copied.verified) == ("", True)
    assert there.same()


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_growing_then_finished(mode: str, there: There) -> None:
    """A cell is copied while it grows, and proven when it has its summary."""
    make_cell(there.run, finished=False)
    copied = there.copy(there.upstream(mode))
    assert (copied.outcome, copied.verified) == ("done", False)
    assert (there.landed / "fastq_pass" / "PAD38578_pass_c6ded78b_0.fastq").exists()
    (there.run / CELL.library / CELL.name / SUMMARY).write_text("x")
    assert there.copy(there.upstream(mode)).verified
    assert there.same()


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_other_content_under_same_size_and_time(mode: str, there: There) -> None:
    """A file here that has other content under the same size and time is found out and made right."""
    cell = make_cell(there.run)
    there.copy(there.upstream(mode))
    (there.landed / SUMMARY).unlink()
    name = "fastq_pass/PAD38578_pass_c6ded78b_1.fastq"
    status = (cell / name).stat()
    (there.landed / name).write_bytes(b"x" * status.st_size)
    os.utime(there.landed / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert there.copy(there.upstream(mode)).verified
    assert there.same()
    assert "not the same as upstream: 1" in there.log.read_text()


def test_one_connection_for_many_cells(there: There) -> None:
    """A pass over many cells logs in once."""
    cells = [CellId("lib", f"20190710_172{number}_1A_PAD38578_c6ded78{number}") for number in range(5)]
    for cell in cells:
        make_cell(there.run, cell)
    before = there.host.link.connections
    assert all(there.copy(there.upstream(timeout=30), cell).verified for cell in cells)
    assert there.same()
    assert there.host.link.connections == before + 1


class Watching:
    """Waits until a copy is in the middle of the big file, and does something then."""

    def __init__(self, do: Callable[[], None], at: int = 700_000) -> None:
        self.do = do
        self.at = at
        self.done = False

    def __call__(self, done: int, total: int) -> None:
        if done > self.at and not self.done:
            self.done = True
            self.do()


@pytest.fixture
def big(there: There) -> There:
    """A cell with a file that takes a while: 4 MB, at 1 MB/s."""
    cell = make_cell(there.run)
    (cell / BIG).write_bytes(os.urandom(4_000_000))
    return there


def freeze_rsync(there: There) -> None:
    """Only rsync stands still; ssh and its keep-alives go on."""
    found = [pid for pid in there.host.sessions() if b"rsync" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert found
    for pid in found:
        signal_to(pid, signal.SIGSTOP)


TROUBLES: dict[str, Callable[[There], None]] = {
    "frozen": frozen,
    "rsync frozen": freeze_rsync,
    "cut": cut,
    "snapped": lambda there: there.host.link.snap(),
    "sessions killed": lambda there: there.host.kill_sessions(),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pull", "push"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_in_the_middle_of_a_file(trouble: str, mode: str, big: There) -> None:
    """The copy ends by itself within its times, is to be tried again, and goes on where it was; nothing is proven."""
    upstream = big.upstream(mode, bandwidth_limit="1M")
    watching = Watching(lambda: TROUBLES[trouble](big))
    began = time.monotonic()
    copied = big.copy(upstream, on_progress=watching)
    took = time.monotonic() - began
    assert watching.done
    assert (copied.outcome, copied.verified) == ("again", False), copied.why
    # The first second or two are for copying; the rest is at most twice the timeout, and that for connecting.
    assert took < 15, copied.why
    assert not (big.landed / SUMMARY).exists()
    # A sequencer that pushes may go on by itself for a while; a file that has its name is whole in any case.
    assert mode == "push" or not (big.landed / BIG).exists()
    assert not (big.landed / BIG).exists() or (big.landed / BIG).stat().st_size == 4_000_000
    big.host.thaw()
    big.host.link.join()
    carried = big.host.link.carried
    assert big.copy(big.upstream(mode)).verified
    assert big.same()
    if mode == "pull" and trouble != "sessions killed":
        assert big.host.link.carried - carried < 3_700_000  # what had come was not sent again


@pytest.mark.slow
def test_short_interruption(big: There) -> None:
    """A network that is away for less than the timeout is waited for."""
    upstream = big.upstream(timeout=20, bandwidth_limit="2M")
    back = threading.Timer(1.5, big.host.link.join)

    def interrupt() -> None:
        big.host.link.cut()
        back.start()

    assert big.copy(upstream, on_progress=Watching(interrupt)).verified
    assert big.same()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pull", "push"])
def test_stopped(mode: str, big: There) -> None:
    """A copy that is to stop ends soon, leaves no process behind on either side, and goes on the next time."""
    watching = Watching(lambda: None)
    began = time.monotonic()
    copied = big.copy(big.upstream(mode, bandwidth_limit="1M"), on_progress=watching, stop=lambda: watching.done)
    assert time.monotonic() - began < 10
    assert (copied.outcome, copied.why) == ("again", "copying was ended: stopped")

    def rsyncs() -> list[str]:
        found = subprocess.run(["pgrep", "-f", f"rsync .*{shlex.quote(big.data.name)}"], capture_output=True, text=True)
        return found.stdout.split()

    eventually(lambda: not rsyncs(), "no rsync is left")
    assert big.copy(big.upstream(mode)).verified
    assert big.same()


def test_destination_that_is_another(there: There, tmp_path: Path) -> None:
    """A push to a directory that is not the landing area is noticed, though rsync says that all is well."""
    make_cell(there.run)
    wrong = tmp_path / "wrong"
    (wrong / "2026" / "20190710_EGS1_My_Exp").mkdir(parents=True)
    copied = there.copy(there.upstream("push", landing_there=str(wrong)))
    assert (copied.outcome, copied.verified) == ("again", False)
    assert f"is {wrong} there what the landing area is here?" in copied.why


def test_noise_and_rsync(there: There) -> None:
    """A login shell that prints something needs a person before anything can be pulled."""
    make_cell(there.run)
    copied = there.copy(there.upstream(host="noisy-hosta"))
    assert (copied.outcome, copied.verified) == ("failed", False)
    assert "login shell" in copied.why


# The doctor.


def told(there: There, upstream: Upstream) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.ok, check.says) for check in check_upstream(upstream, there.landing)}


def test_doctor_of_a_healthy_upstream(there: There) -> None:
    """Where all is well every check says so, and nothing is left behind."""
    make_cell(there.run)
    checks = told(there, there.upstream("push"))
    assert list(checks) == ["reaches", "lists", "rsync", "clock", "writes"]
    assert [ok for ok, _ in checks.values()] == [True] * 5
    assert checks["lists"][1] == "1 runs with 1 cells"
    assert list(told(there, there.upstream())) == ["reaches", "lists", "rsync", "clock"]
    assert list(told(there, replace(there.upstream(), location=str(there.data)))) == ["reaches", "lists", "rsync"]
    assert list(there.landing.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "check", "said"),
    [
        ({"host": "noisy-hosta"}, "reaches", "prints `Welcome to your sequencer"),
        ({"location": "hosta:/no/such/directory"}, "reaches", "is no directory there"),
        ({"location": "no-such-host.invalid:/data", "ssh_options": ()}, "reaches", "cannot connect to no-such-host"),
        ({"mode": "push", "landing_there": "/no/such/directory"}, "writes", "is not what"),
        ({"mode": "push", "landing_there": "/proc"}, "writes", "is not what"),
    ],
)
def test_doctor_names_the_trouble(changed: dict[str, str], check: str, said: str, there: There) -> None:
    """What is wrong is said in words, and what could not be tried is not said to be right."""
    make_cell(there.run)
    arguments: dict[str, object] = dict(changed)
    checks = told(there, there.upstream(str(arguments.pop("mode", "pull")), **arguments))  # type: ignore[arg-type]  # a table
    assert checks[check][0] is False
    assert said in checks[check][1]
    if check == "reaches":
        assert {ok for name, (ok, _) in checks.items() if name != "reaches"} == {None}
    assert list(there.landing.iterdir()) == []
