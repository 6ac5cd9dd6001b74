"""Rules for upstreams: locations, names of runs, exit codes and refused rsync templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.location import Location, parse_location, run_in
from hesiod_watch.core.model import RunName
from hesiod_watch.core.naming import run_problem
from hesiod_watch.rules.exit_codes import AGAIN, FAILED, judge, judge_query, last_line
from hesiod_watch.rules.rsync_template import FORBIDDEN, expand, template_problems
from hesiod_watch.rules.run_names import FoundRun, name_runs, run_name

# Places.


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("LOCAL", Location("")),
        ("/data", Location("/data")),
        ("/data/", Location("/data")),
        ("/data/with blank/ü*", Location("/data/with blank/ü*")),
        ("promethion:/data", Location("/data", "promethion")),
        ("prom@promethion:/data", Location("/data", "promethion", "prom")),
        ("prom@10.0.0.7:/data/a:b", Location("/data/a:b", "10.0.0.7", "prom")),
        ("prom@[fe80::1%eth0]:/data", Location("/data", "[fe80::1%eth0]", "prom")),
        ("/not:a/host", Location("/not:a/host")),
    ],
)
def test_places(text: str, place: Location) -> None:
    """Every form of a location is understood and written unchanged."""
    assert parse_location(text) == place
    assert str(place) == (text.rstrip("/") if text != "LOCAL" else text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("data", "should be LOCAL, /directory or [user@]host:/directory"),
        ("local", "should be LOCAL"),
        ("host:", "should be LOCAL"),
        ("host:data", "is not absolute"),
        ("host:~/data", "is not absolute"),
        ("host::module", "is not absolute"),
        ("rsync://host/module", "without //, /./ and /../"),
        ("-oProxyCommand=id:/data", "begins with -"),
        ("prom@-oProxyCommand=id:/data", "no host's name"),
        ("-l@host:/data", "begins with -"),
        ("a b@host:/data", "no user's name"),
        ("@host:/data", "no user's name"),
        ("ho st:/data", "no host's name"),
        ("host;id:/data", "no host's name"),
        ("$(id):/data", "no host's name"),
        ("[::1:/data", "no host's name"),
        ("/", "is the root directory"),
        ("host://", "is the root directory"),
        ("/data/../etc", "without //, /./ and /../"),
        ("/data/./x", "without //, /./ and /../"),
        ("/data//x", "without //, /./ and /../"),
        ("/data\n/x", "control characters"),
        ("/data\x1b[2J", "control characters"),
    ],
)
def test_places_that_are_refused(text: str, why: str) -> None:
    """An invalid or ambiguous location is refused with a reason on one line.

    It could be taken for an option or for another location.
    """
    with pytest.raises(ValueError, match=r"^.") as caught:
        parse_location(text)
    assert why in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text("a@:/.-[] \n~$", max_size=12) | st.text(max_size=20))
def test_any_place(text: str) -> None:
    """An accepted location has one spelling; neither its host nor its directory is an option."""
    try:
        place = parse_location(text)
    except ValueError:
        return
    assert parse_location(str(place)) == place
    assert not place.ssh_host.startswith("-")
    assert place.is_local or place.path.startswith("/")


def test_host_for_ssh() -> None:
    """ssh needs an IPv6 address without the brackets that rsync needs."""
    place = parse_location("prom@[::1]:/data")
    assert (place.ssh_host, place.rsync_host) == ("prom@::1", "prom@[::1]")


@pytest.mark.parametrize(
    ("root", "text", "path"),
    [
        ("prom@host:/data", "prom@host:/data/My Exp", "/data/My Exp"),
        ("prom@host:/data", "host:/data/run", "/data/run"),
        ("/mnt/a", "/mnt/a/run/", "/mnt/a/run"),
    ],
)
def test_place_of_a_run(root: str, text: str, path: str) -> None:
    """A run is directly below its upstream; the user is the configured one."""
    place = run_in(parse_location(root), text)
    assert (place.path, place.user) == (path, parse_location(root).user)


@pytest.mark.parametrize(
    ("root", "text"),
    [
        ("host:/data", "other:/data/run"),
        ("host:/data", "/data/run"),
        ("host:/data", "host:/data"),
        ("host:/data", "host:/database/run"),
        ("host:/data", "host:/data/run/lib"),
        ("host:/data", "host:/data/../etc"),
        ("host:/data", "host:/data/-rf"),
        ("host:/data", "host:/data/$(id)"),
        ("host:/data", "LOCAL"),
        ("LOCAL", "/run"),
        ("/mnt/a", "/mnt/b/run"),
    ],
)
def test_places_outside_a_run(root: str, text: str) -> None:
    """`pipeline/upstream` is accepted only if it names a run of the configured upstream."""
    with pytest.raises(ValueError, match=r"`"):
        run_in(parse_location(root), text)


# Names.


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        ("My Exp", "20190226_EGS1_My_Exp"),
        ("My   Exp", "20190226_EGS1_My_Exp"),
        ("My_Exp", "20190226_EGS1_My_Exp"),
        ("20190226_My_Exp", "20190226_EGS1_My_Exp"),
        ("EGS1_My_Exp", "20190226_EGS1_My_Exp"),
        ("20190226_EGS1_My_Exp", "20190226_EGS1_My_Exp"),
        ("20190226 EGS1 My Exp", "20190226_EGS1_My_Exp"),
        ("20190226_EGS1", "20190226_EGS1"),
        ("EGS1", "20190226_EGS1"),
        ("EGS12_x", "20190226_EGS1_EGS12_x"),
        ("20190225_My_Exp", "20190226_EGS1_20190225_My_Exp"),
        ("11685BN", "20190226_EGS1_11685BN"),
        ("a__b", "20190226_EGS1_a__b"),
    ],
)
def test_names_of_runs(experiment: str, name: str) -> None:
    """Date and instrument come first and only once; consecutive blanks become one `_`."""
    assert run_name("20190226", "EGS1", experiment) == name


@given(
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+@=, -]{0,60}", fullmatch=True).filter(
        lambda name: name[-1] != " "
    )
)
def test_names_stay_in_the_grammar(experiment: str) -> None:
    """A valid experiment name gives a valid run name, and naming the result changes nothing."""
    name = run_name("20190226", "EGS1", experiment)
    assert run_problem(name) == ""
    assert run_name("20190226", "EGS1", name) == name


def found(experiment: str, date: str = "20190226", host: str = "host") -> FoundRun:
    return FoundRun(f"{host}:/data/{experiment}", experiment, "EGS1", date)


def test_pinned_names_stay() -> None:
    """A run keeps its first name, even without its first cell or if the rule gives another."""
    pinned = {RunName("old_name"): "host:/data/a", RunName("20190101_EGS1_b"): "host:/data/b"}
    assert name_runs([found("a"), found("b", "20200202")], pinned).names == {
        "host:/data/a": "old_name",
        "host:/data/b": "20190101_EGS1_b",
    }


def test_two_that_fold() -> None:
    """If two runs would get one name, the earlier gets it; the other gets none and is reported."""
    named = name_runs([found("My_Exp"), found("My Exp"), found("other")], {})
    assert named.names == {
        "host:/data/My Exp": "20190226_EGS1_My_Exp",
        "host:/data/other": "20190226_EGS1_other",
    }
    (fold,) = named.folds
    assert (fold.location, fold.name) == ("host:/data/My_Exp", "20190226_EGS1_My_Exp")
    assert "host:/data/My Exp" in fold.why


@pytest.mark.parametrize("owner", ["", "LOCAL", "other:/data/My_Exp"])
def test_name_of_another_owner(owner: str) -> None:
    """A directory of another run in the landing area is never used for this run."""
    named = name_runs([found("My_Exp")], {RunName("20190226_EGS1_My_Exp"): owner})
    assert named.names == {}
    assert [fold.location for fold in named.folds] == ["host:/data/My_Exp"]


def test_pin_before_newcomer() -> None:
    """A new run with an older first cell does not get the name of an existing run."""
    pinned = {RunName("20190226_EGS1_My_Exp"): "host:/data/My_Exp"}
    named = name_runs([found("My Exp"), found("My_Exp", "20190227")], pinned)
    assert named.names == {"host:/data/My_Exp": "20190226_EGS1_My_Exp"}
    assert [fold.location for fold in named.folds] == ["host:/data/My Exp"]


def test_name_that_gets_too_long() -> None:
    """A name that becomes too long with date and instrument is reported."""
    named = name_runs([found("x" * 195), found("b")], {})
    assert named.names == {"host:/data/b": "20190226_EGS1_b"}
    (fold,) = named.folds
    assert (fold.location, fold.name) == (f"host:/data/{'x' * 195}", f"20190226_EGS1_{'x' * 195}")
    assert fold.why.startswith(f"it would be called {fold.name}: ")
    assert "bytes long" in fold.why


# Ends of commands.


def test_table_of_codes() -> None:
    """No code is in both tables, and the known codes are in the right one."""
    assert not AGAIN.keys() & FAILED.keys()
    assert AGAIN.keys() >= {10, 11, 12, 20, 23, 24, 30, 35, 255}
    assert FAILED.keys() >= {1, 2, 3, 4, 25, 127}


@pytest.mark.parametrize("code", range(-64, 256))
def test_every_code(code: int) -> None:
    """Only code 0 is done; every other code has an outcome and a sentence with its number."""
    for judgement in (judge(code), judge_query(code)):
        assert (judgement.outcome == "done") == (code == 0)
        assert code == 0 or str(abs(code)) in judgement.why


@pytest.mark.parametrize(
    ("code", "said", "outcome", "why"),
    [
        (255, "Host key verification failed.", "failed", "host's key"),
        (
            255,
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nx",
            "failed",
            "host's key has changed",
        ),
        (255, "prom@host: Permission denied (publickey).", "failed", "does not let us in"),
        (
            12,
            "Permission denied (publickey).\nrsync error: error in rsync protocol",
            "failed",
            "does not let us in",
        ),
        (255, "ssh: connect to host x port 22: Connection refused", "again", "refuses"),
        (255, "ssh: Could not resolve hostname x", "again", "cannot be resolved"),
        (255, "", "again", "ssh could not connect"),
        (
            23,
            "rsync: open x failed: Permission denied (13)",
            "again",
            "some files could not be copied",
        ),
        (11, "rsync: write failed: No space left on device (28)", "again", "no space left"),
        (-9, "", "again", "signal 9"),
        (137, "", "again", "signal"),
        (99, "", "failed", "ended with an unknown exit code"),
    ],
)
def test_text_and_code_decide_the_outcome(code: int, said: str, outcome: str, why: str) -> None:
    """The error output of a program is more reliable than its exit code."""
    judgement = judge(code, said)
    assert judgement.outcome == outcome
    assert why in judgement.why


def test_question_is_not_rsync() -> None:
    """Code 1 of a shell is not rsync's code 1."""
    assert judge_query(1, "cat: /x: No such file or directory").why == (
        "the query ended with exit code 1: cat: /x: No such file or directory"
    )


def test_last_line() -> None:
    """The quoted line of an error output is the most informative one and safe to show."""
    said = (
        "rsync: open \x1b]0;x failed: Permission denied (13)\n"
        "rsync error: some files (code 23) at main.c(1)\n\n"
    )
    assert last_line(said) == r"rsync: open \x1b]0;x failed: Permission denied (13)"
    assert len(last_line("x" * 10_000)) == 300
    assert last_line("") == ""


# Templates.

GOOD = ("rsync", "{options}", "{source}", "{destination}")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="empty"),
        pytest.param(GOOD, id="usual"),
        pytest.param(
            (
                "ionice",
                "-c3",
                "/opt/bin/rsync",
                "{options}",
                "--fsync",
                "-z",
                "{source}",
                "{destination}",
            ),
            id="another program before rsync",
        ),
        pytest.param(
            (
                "rsync",
                "-lt",
                "--partial-dir=.p",
                "-e",
                "ssh -u",
                "--timeout",
                "60",
                "{source}",
                "{destination}",
            ),
            id="options of every kind",
        ),
        pytest.param(
            ("rsync", "--exclude", "--append", "{source}", "{destination}"), id="an option as value"
        ),
        pytest.param(
            ("rsync", "-f", "- n", "{options}", "{source}", "{destination}"), id="a filter"
        ),
        pytest.param(
            ("sudo", "-u", "prom", "rsync", "{options}", "{source}", "{destination}"), id="sudo"
        ),
    ],
)
def test_good_templates(words: tuple[str, ...]) -> None:
    """Additions to the default command are accepted, even if a value looks like a bad option."""
    assert list(template_problems(words)) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("rsync",), "should have {source} once", id="no placeholder"),
        pytest.param(
            ("rsync", "{source}", "{source}", "{destination}"),
            "should have {source} once",
            id="source twice",
        ),
        pytest.param(
            ("{options}", "{source}", "{destination}"),
            "should begin with the program",
            id="no program",
        ),
        pytest.param(
            ("-e", "{source}", "{destination}"),
            "should begin with the program",
            id="an option as program",
        ),
        pytest.param(
            ("rsync", "{option}", "{source}", "{destination}"),
            "`{option}` contains braces",
            id="an unknown placeholder",
        ),
        pytest.param(
            ("rsync", "-x{options}", "{source}", "{destination}"),
            "{options} stands for several words",
            id="options inside a word",
        ),
        pytest.param(
            ("rsync", "{options}", "{options}", "{source}", "{destination}"),
            "should have {options} once",
            id="options twice",
        ),
        pytest.param(
            ("rsync", "--", "{source}", "{destination}"), "`--` would end", id="end of options"
        ),
        pytest.param(
            ("rsync", "-rltu", "{source}", "{destination}"), "`-rltu` may not be used", id="-u"
        ),
        pytest.param(
            ("rsync", "-zP", "{source}", "{destination}"), "`-zP` may not be used", id="-P"
        ),
        pytest.param(
            ("rsync", "-n", "{source}", "{destination}"), "nothing would be copied", id="dry run"
        ),
        pytest.param(
            ("rsync", "-M--append", "{source}", "{destination}"),
            "cannot be checked",
            id="remote option",
        ),
        pytest.param(
            ("rsync", "--files-from=/x", "{source}", "{destination}"),
            "may not be used",
            id="list of files",
        ),
        pytest.param(
            ("rsync", "--timeout=60", "--append", "{source}", "{destination}"),
            "`--append` may not be used",
            id="append",
        ),
    ],
)
def test_bad_templates(words: tuple[str, ...], said: str) -> None:
    """A template that would not copy, or not the named files, is refused with the reason."""
    assert any(said in problem for problem in template_problems(words))


ENDS = ("{source}", "{destination}")


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (("-e", *ENDS), ["should begin with the program"]),
        (("{options}", *ENDS), ["should begin with the program"]),
        (("rsync", "{options}", "{options}", *ENDS), ["should have {options} once"]),
        (
            ("rsync", "{option}", *ENDS),
            ["`{option}` contains braces other than {options}, {source}, {destination}"],
        ),
        (
            ("rsync", "a}", *ENDS),
            ["`a}` contains braces other than {options}, {source}, {destination}"],
        ),
        (("rsync", "x", "-u", *ENDS), [f"`-u` may not be used: {FORBIDDEN['--update']}"]),
        (("rsync", "-e", "-u", "-u", *ENDS), [f"`-u` may not be used: {FORBIDDEN['--update']}"]),
        (("rsync", "-eu", "-n", *ENDS), [f"`-n` may not be used: {FORBIDDEN['--dry-run']}"]),
    ],
)
def test_what_is_wrong_with_a_template(words: tuple[str, ...], problems: list[str]) -> None:
    """Each problem is one whole sentence, and a value hides only itself."""
    assert list(template_problems(words)) == problems


@pytest.mark.parametrize("option", sorted(FORBIDDEN))
def test_forbidden_options(option: str) -> None:
    """Each forbidden option is refused, by itself and with a value."""
    for word in (option, f"{option}=x"):
        assert list(template_problems(("rsync", word, "{source}", "{destination}")))


@given(st.text(max_size=20), st.text(max_size=20))
def test_expanding(source: str, destination: str) -> None:
    """Inserted values are not expanded again, whatever braces they contain."""
    command = expand(GOOD, ("-l", "{source}"), {"source": source, "destination": destination})
    assert command == ("rsync", "-l", "{source}", source, destination)
    assert expand((), (), {"source": source, "destination": destination}) == (
        "rsync",
        source,
        destination,
    )
