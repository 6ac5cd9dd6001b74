"""Attention: what is blocked, its kind, its sentence, and the steps of a person.

A kind's sentence and steps are templates: `{name}` stands for a fact that the rule states. A step
is offered only if all facts that it names are known. So a step that would not help in some case
names a fact that the rule leaves out in that case. `rules.attention` decides which kinds apply.

Facts in the words of a step and in a sentence are escaped for display. Facts in a command are
quoted for a shell. The steps of a kind are in the order in which a person tries them.
`attention_kinds` has the table of the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum
from string import Formatter

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import quoted

IDENTIFYING = ("name", "action", "upstream", "backup", "who", "path")
"""Facts that tell two entries of one kind in one run or cell apart."""


class Stops(StrEnum):
    """Work on a cell that trouble of its run or of the whole site stops."""

    NOTHING = "nothing"
    ARRIVAL = "arrival"  # of data of a cell that is not complete
    WORK = "work"  # everything for a cell that is not finished


class Severity(StrEnum):
    """Whether something that is blocked needs a person, or ends by itself."""

    NOTE = "note"
    PERSON = "person"


@frozen
class Step:
    """Step of a person: in words, and as a command for a shell if one does it."""

    words: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.words}: {self.command}" if self.command else self.words


@frozen
class Attention:
    """One thing that is blocked."""

    kind: str  # key of attention_kinds.KINDS
    run: str  # "": it concerns the whole site
    cell: str  # library/cell, or a name in the run that is not worked on; "": the whole run
    since: datetime | None  # None: unknown
    severity: Severity
    sentence: str  # what is wrong, and the cause; without a full stop, escaped for display
    steps: tuple[Step, ...]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_person(self) -> bool:
        return self.severity is Severity.PERSON

    @property
    def identity(self) -> tuple[str, ...]:
        """Facts by which it is the same thing as before: its kind, its cell, its name and so on.

        The library is left out, because it may be renamed.
        """
        facts = (self.facts[name] for name in IDENTIFYING if name in self.facts)
        return self.kind, *filter(None, (self.cell.rpartition("/")[2], *facts))

    @property
    def subject(self) -> str:
        """Run and cell, escaped for display; "this site" if it concerns no run."""
        return display(" ".join(filter(None, (self.run, self.cell)))) or "this site"

    @property
    def explain(self) -> str:
        """Command that says more, with its names as words for a shell; "" if it has no run."""
        if not self.run:
            return ""
        names = " ".join(quoted(name) for name in (self.run, self.cell) if name)
        return f"hesiod-watch explain {'-- ' if self.run.startswith('-') else ''}{names}"

    def __str__(self) -> str:
        """One line for a log or a mail; the last part is the command that says more."""
        return "; ".join(filter(None, (f"{self.subject}: {self.sentence}", self.explain)))

    def record(self) -> dict[str, object]:
        """Return it as a JSON object of `status --attention --json`."""
        return {
            "kind": self.kind,
            "run": display(self.run) or None,
            "cell": display(self.cell) or None,
            "since": self.since.isoformat(timespec="seconds") if self.since else None,
            "severity": str(self.severity),
            "sentence": self.sentence,
            "steps": [str(step) for step in self.steps],
        }


READ = (
    Step("if the user {user} owns it, let the user read it", "chmod -R u+rX {place}"),
    Step("otherwise, as root, let the user {user} read it", "setfacl -R -m u:{user}:rX {place}"),
)
WRITE = (
    Step("if the user {user} owns it, let the user write it", "chmod u+rwx {place}"),
    Step("otherwise, as root, let the user {user} write it", "setfacl -m u:{user}:rwx {place}"),
)
_AFTER = "after fixing the cause"


def with_rights(found: Attention, rights: tuple[Step, ...], user: str, place: str) -> Attention:
    """Return an entry whose steps give the missing right; what is done after that is kept."""
    shown = {"user": display(user), "place": display(place)}
    as_words = {"user": quoted(user), "place": quoted(place)}
    grant = (
        Step(step.words.format_map(shown), step.command.format_map(as_words)) for step in rights
    )
    after = (step for step in found.steps if step.words.startswith(_AFTER))
    return replace(found, steps=(*grant, *after))


@frozen
class AttentionKind:
    """One kind of blocked thing: its severity, its meaning, its sentence and its steps."""

    name: str
    severity: Severity
    meaning: str  # for the documentation
    sentence: str  # template
    steps: tuple[Step, ...]  # templates
    stops: Stops = Stops.WORK

    def about(
        self,
        run: str = "",
        cell: str = "",
        since: datetime | None = None,
        **facts: object,
    ) -> Attention:
        """Return it for a run and a cell. A fact that is None, "" or not stated is not known."""
        known = {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}
        known |= {name: fact for name, fact in (("run", run), ("cell", cell)) if fact}
        shown = {name: display(fact) for name, fact in known.items()}
        as_words = {name: quoted(fact) for name, fact in known.items()}
        steps = tuple(
            Step(step.words.format_map(shown), step.command.format_map(as_words))
            for step in self.steps
            if _fields(step.words) | _fields(step.command) <= known.keys()
        )
        sentence = self.sentence.format_map(_Shown(shown))
        return Attention(self.name, run, cell, since, self.severity, sentence, steps, known)


class _Shown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}
