"""A real Request Tracker 5 with SQLite, run by this user on its own port.

It uses no configuration of the machine. Its database is restored to its first state in
milliseconds, while the server runs. The server can be stopped and started again with its data, or
frozen with open connections. `person` acts in it as a user with all rights. Tests read the content
from the database, so that none of our code is between a test and the real state.

Needed: the Debian packages request-tracker5, rt5-standalone and rt5-db-sqlite.
"""

from __future__ import annotations

import base64
import os
import quopri
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import rt.rest2
from ports import free_port
from sites import eventually

SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
SETUP = shutil.which("rt-setup-database-5", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def missing() -> str:
    """Names of the required Debian packages if any is missing; "" if none is."""
    if (
        SERVER.exists()
        and SETUP
        and subprocess.run(["perl", "-MDBD::SQLite", "-MStarlet", "-e1"]).returncode == 0
    ):
        return ""
    return "request-tracker5, rt5-standalone, rt5-db-sqlite"


USER, PASSWORD = "hesiod", "hesiod's own: password #1"
ROOT_PASSWORD = "root-test-pw"
READING = ("SeeQueue", "ShowTicket", "ShowTicketComments")
RIGHTS = (*READING, "CreateTicket", "CommentOnTicket", "ReplyToTicket", "ModifyTicket")
"""The rights that the documentation asks for."""
QUEUES = {
    "promrun_internal": RIGHTS,
    "promrun_visitor": RIGHTS,
    "promrun_test": RIGHTS,
    "Läufe: 100 %?#1 (a&b)": RIGHTS,
    "prom/runs": RIGHTS,
    "no_rights": (),
    "no_opening": tuple(right for right in RIGHTS if right != "CreateTicket"),
    "no_writing": (*READING, "CreateTicket"),
    "no_modifying": tuple(right for right in RIGHTS if right != "ModifyTicket"),
    "no_comments": tuple(right for right in RIGHTS if right != "ShowTicketComments"),
    "no_seeing": ("SeeQueue", "CreateTicket", "CommentOnTicket", "ReplyToTicket"),
}
"""The queues, and the rights of USER on each."""


@dataclass(frozen=True)
class Ticket:
    """A ticket in the database."""

    number: int
    queue: str
    subject: str
    status: str
    texts: tuple[tuple[str, str], ...]
    """All entries of the ticket in order: Create, Comment or Correspond, and the plain text."""


class RtServer:
    """One server and its database, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mail = directory / "mail"
        """Directory of the mails that RT would have sent, one file each."""
        self._database = directory / "rt.sqlite"
        self._template = directory / "template.sqlite"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/REST/2.0/"
        for name in ("mason", "session", "mail"):
            (directory / name).mkdir()
        self._environ = {
            **os.environ,
            "RT_SITE_CONFIG": str(self._write_configuration()),
            "RT_SITE_CONFIG_DIR": "/nonexistent",
        }
        self._make_template()
        self.token = (directory / "token").read_text()
        self.person = rt.rest2.Rt(self.url)
        """A user with all rights."""
        self.person.session.close()
        self.person.session = httpx2.Client(
            auth=httpx2.BasicAuth("root", ROOT_PASSWORD), timeout=60, trust_env=False
        )

    def up(self) -> None:
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SERVER, "--host", "127.0.0.1", "--port", str(self.port), "--max-workers", "2"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, "Request Tracker answers")

    def down(self) -> None:
        """Stop all its processes; connections are refused."""
        if self._process:
            self.thaw()
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def freeze(self) -> None:
        """Suspend all its processes; connections are accepted and stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restore(self) -> None:
        """Restore the first state of the database."""
        with (
            closing(sqlite3.connect(self._template)) as template,
            closing(self._connected()) as database,
        ):
            template.backup(database)
        for mail in self.mail.iterdir():
            mail.unlink()

    def tickets(self) -> list[Ticket]:
        """All tickets by number, also deleted and rejected ones, but not merged ones."""
        with closing(self._connected()) as database:
            rows = database.execute(
                "SELECT Tickets.id, Queues.Name, Subject, Status"
                " FROM Tickets JOIN Queues ON Queues.id = Tickets.Queue"
                " WHERE Tickets.id = EffectiveId ORDER BY Tickets.id"
            ).fetchall()
            return [
                Ticket(number, queue, subject, status, self._texts(database, number))
                for number, queue, subject, status in rows
            ]

    def ticket(self, number: int) -> Ticket:
        return next(ticket for ticket in self.tickets() if ticket.number == number)

    def people(self, number: int) -> dict[str, set[str]]:
        """Mail addresses of a ticket's requestors and Ccs."""
        found = self.person.get_ticket(number)
        return {role: {str(each["id"]) for each in found[role]} for role in ("Requestor", "Cc")}

    def mails(self) -> list[str]:
        return [path.read_text("utf-8") for path in sorted(self.mail.glob("*.eml"))]

    def _texts(self, database: sqlite3.Connection, number: int) -> tuple[tuple[str, str], ...]:
        rows = database.execute(
            "SELECT Transactions.Type, Attachments.Content, ContentEncoding FROM Transactions"
            " JOIN Attachments ON Attachments.TransactionId = Transactions.id"
            " JOIN Tickets ON Tickets.id = Transactions.ObjectId"
            " WHERE ObjectType = 'RT::Ticket' AND EffectiveId = ? AND Transactions.Type IN"
            " ('Create', 'Comment', 'Correspond') AND ContentType = 'text/plain'"
            " ORDER BY Transactions.id",
            (number,),
        )
        return tuple((kind, _decoded(content, encoding)) for kind, content, encoding in rows)

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=30)

    def _signal(self, number: int) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "server.log").read_text()
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - http, and ours
            f"{self.url}rt", headers={"Authorization": f"Basic {login}"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=20) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _write_configuration(self) -> Path:
        sendmail = self.directory / "sendmail"
        sendmail.write_text(
            f'#!/bin/sh\nf="{self.mail}/$(date +%s.%N).$$"\ncat >"$f.tmp" && mv "$f.tmp" "$f.eml"\n'
        )
        sendmail.chmod(0o755)
        values: dict[str, Any] = {
            "rtname": "rt.test.invalid",
            "Organization": "test.invalid",
            "CorrespondAddress": "rt@test.invalid",
            "CommentAddress": "rt-comment@test.invalid",
            "Timezone": "UTC",
            "WebDomain": "127.0.0.1",
            "WebPort": self.port,
            "DatabaseType": "SQLite",
            "DatabaseName": self._database,
            "MailCommand": "sendmailpipe",
            "SendmailPath": sendmail,
            "HTMLFormatter": "core",
            "BcryptCost": 4,  # the password is checked at every request; RT's own 12 takes 0.2 s
            "LogToSyslog": "",
            "LogToSTDERR": "warning",
        }
        path = self.directory / "RT_SiteConfig.pm"
        path.write_text(
            "".join(f"Set(${name}, '{value}');\n" for name, value in values.items())
            # Package variables, which Set() does not know.
            + f"$VarPath = '{self.directory}';\n"
            + f"$MasonDataDir = '{self.directory}/mason';\n"
            + f"$MasonSessionDir = '{self.directory}/session';\n1;\n"
        )
        return path

    def _make_template(self) -> None:
        """The database with the queues, USER, its rights and its token."""
        grants = "".join(
            f"'{queue}' => [qw({' '.join(rights)})],\n" for queue, rights in QUEUES.items()
        )
        password = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        seed = self.directory / "seed.pl"
        seed.write_text(
            f"""\
use utf8;
my %grants = ({grants});
our @Users = ({{
    Name => '{USER}', Password => '{password}', EmailAddress => '{USER}@test.invalid',
    Privileged => 1
}});
our @Queues = map {{ {{ Name => $_, CorrespondAddress => '', CommentAddress => '' }} }}
    sort keys %grants;
our @ACL = map {{
    my $queue = $_;
    map {{ {{ UserId => '{USER}', Queue => $queue, Right => $_ }} }} @{{$grants{{$queue}}}}
}} keys %grants;
our @Final = (sub {{
    my $user = RT::User->new(RT->SystemUser); $user->Load('{USER}');
    my ($id, $msg, $token) = RT::AuthToken->new(RT->SystemUser)->Create(
        Owner => $user->Id, Description => 'test'
    );
    die "no token: $msg" unless $id;
    open my $file, '>', '{self.directory}/token' or die "token: $!";
    print $file $token; close $file;
}});
1;
""",
            encoding="utf-8",
        )
        root_password = self.directory / "root-password"
        root_password.write_text(ROOT_PASSWORD)
        for arguments in (
            ("--action", "init", "--root-password-file", str(root_password)),
            ("--action", "insert", "--datafile", str(seed)),
        ):
            made = subprocess.run(
                [str(SETUP), "--skip-create", *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
            # It always ends with 0, so the test also checks the files that it should create.
            assert made.returncode == 0, made.stdout + made.stderr
        assert (self.directory / "token").exists(), made.stdout + made.stderr
        with (
            closing(self._connected()) as database,
            closing(sqlite3.connect(self._template)) as template,
        ):
            granted = (
                "SELECT count(*) FROM ACL"
                " WHERE ObjectType = 'RT::Queue' AND PrincipalType = 'Group'"
            )
            assert database.execute(granted).fetchone()[0] >= sum(map(len, QUEUES.values())), (
                made.stdout + made.stderr
            )
            database.backup(template)


def _decoded(content: str | bytes | None, encoding: str) -> str:
    stored = content.encode() if isinstance(content, str) else content or b""
    if encoding == "quoted-printable":
        stored = quopri.decodestring(stored)
    elif encoding == "base64":
        stored = base64.b64decode(stored)
    return stored.decode()


@contextmanager
def rt_server() -> Iterator[RtServer]:
    """A server that runs inside the block."""
    with tempfile.TemporaryDirectory(prefix="rt-", dir="/tmp") as directory:
        server = RtServer(Path(directory))
        try:
            server.up()
            yield server
        finally:
            server.down()
            server.person.session.close()
