"""Examples of every command, for `--help`, the man page and its tests: a command line, and why.

Imported only where help is printed.
"""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("hesiod-watch demo", "see it work, without a sequencer"),
        ("hesiod-watch status --attention", "what needs a person, with the steps"),
        ("hesiod-watch explain RUN CELL", "why a cell is in its state, and what happens next"),
    ),
    "watch": (
        ("systemctl enable --now hesiod-watch", "start it now and at each boot"),
        ("hesiod-watch -v watch", "in this terminal, with the reasons of its decisions"),
    ),
    "poll": (
        ("hesiod-watch --quiet poll", "as cron does it"),
        ("hesiod-watch poll RUN", "one run, now"),
    ),
    "status": (
        ("hesiod-watch status", "every run and cell"),
        ("hesiod-watch status --attention", "only what needs a person, with the steps"),
        ("hesiod-watch status --json RUN", "one run, for a program"),
    ),
    "explain": (
        ("hesiod-watch explain RUN", "a run"),
        ("hesiod-watch explain RUN 1A", "its cell at the position 1A"),
        ("hesiod-watch explain PAD38578", "the run that has this flow cell"),
    ),
    "check": (
        ("hesiod-watch check", "for Nagios and Icinga"),
        ("hesiod-watch check --max-age 30m", "critical if the last look is older"),
    ),
    "plan": (
        ("hesiod-watch plan", "what the service would do now"),
        ("hesiod-watch plan --json RUN", "one run, for a program"),
    ),
    "flags": (
        ("hesiod-watch flags RUN", "every flag, and whether its owner lives"),
        ("hesiod-watch flags RUN | grep failed", "one line for each flag"),
    ),
    "messages": (
        ("hesiod-watch messages", "those of the whole site"),
        ("hesiod-watch messages RUN --text", "those of a run, with their texts"),
    ),
    "list-upstream": (
        ("hesiod-watch list-upstream", "all upstreams"),
        ("hesiod-watch list-upstream promethion", "one of them"),
        ("hesiod-watch list-upstream | hesiod-watch status -I", "also runs that are not here"),
    ),
    "perform": (
        ("hesiod-watch perform process RUN CELL", "process a cell"),
        ("hesiod-watch perform report RUN", "make the run's page again"),
        ("hesiod-watch perform backup RUN CELL", "copy a cell to its backups"),
    ),
    "verify": (
        ("hesiod-watch verify RUN", "the results of all its cells"),
        ("hesiod-watch verify RUN CELL --backup", "also every copy of one cell"),
    ),
    "take-up": (("hesiod-watch take-up RUN", "copy, process and report an old run"),),
    "abort": (
        ('hesiod-watch abort RUN CELL --why "sample mix-up"', "one cell"),
        ('hesiod-watch abort RUN --why "a test"', "the whole run"),
    ),
    "retry": (
        ('hesiod-watch retry RUN CELL --why "the disk is repaired"', "one cell"),
        ('hesiod-watch retry RUN --why "memory was added"', "every failed cell of a run"),
    ),
    "release": (
        (
            'hesiod-watch release RUN CELL --why "node7 was switched off"',
            "after you have checked that the owner is dead",
        ),
    ),
    "init": (
        ("hesiod-watch init", "asks for the directories"),
        (
            "hesiod-watch init --landing /srv/nanopore/runs --output /srv/nanopore/results",
            "asks at most about old runs",
        ),
    ),
    "config": (
        ("hesiod-watch config check", "every mistake, with its line and key"),
        ("hesiod-watch config sample | less", "every key, its meaning and its default"),
    ),
    "config sample": (("hesiod-watch config sample > hesiod-watch.yaml", "begin with all keys"),),
    "config check": (
        ("hesiod-watch config check", "the configuration that every command uses"),
        ("hesiod-watch --config new.yaml config check", "another file"),
    ),
    "doctor": (("hesiod-watch doctor", "as the user who runs the service"),),
    "backup-init": (("hesiod-watch backup-init second", "once, for the backup `second`"),),
    "strip": (
        ("hesiod-watch strip RUN", "what could be removed, and why the rest stays"),
        ("hesiod-watch strip RUN CELL --yes", "remove the raw data of one cell"),
    ),
    "simulate": (
        ("hesiod-watch simulate /srv/nanopore/runs", "write runs at the usual speed"),
        (
            "hesiod-watch simulate runs --runs 1 --bam aligned --speed 100",
            "one run, fast, with BAM",
        ),
    ),
    "demo": (("hesiod-watch demo", "in ./hesiod-watch-demo, in about half a minute"),),
}
"""Command lines of each command, and what they are for; "" is the program itself."""


def help_text(command: str) -> str:
    """Section of a command's help: each command line, and below it what it is for."""
    lines = ["examples:"]
    for line, purpose in EXAMPLES[command]:
        lines += [f"  {line}", f"      {purpose}"]
    return "\n".join(lines) + "\n"
