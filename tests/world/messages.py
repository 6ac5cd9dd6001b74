"""Steps of messages: Request Tracker, its outages, lost answers, and people in its tickets."""

from __future__ import annotations

from typing import Any

from tests.world.world import World

QUEUE, PERSON = "runs", "a person"


def track(world: World, number: int) -> None:
    """The site gets a Request Tracker."""
    if "notify:" in world.more:
        return
    secret = world.root / "hosts" / "rt"
    secret.touch(0o600)
    secret.write_text("token: 1-2-3\n")
    world.more += (
        f"notify: {{retry: 1s, rt: {{url: 'https://rt.invalid/', queue: {QUEUE},"
        f" credentials: {secret}, statuses: {{complete: resolved}}}}}}\n"
    )
    world.configure()


def tracker_away(world: World, number: int) -> None:
    """Request Tracker does not answer."""
    _change(world, away=True)


def tracker_back(world: World, number: int) -> None:
    """Request Tracker answers again."""
    _change(world, away=False, lose=0)


def lose_answers(world: World, number: int) -> None:
    """Request Tracker does what it is asked, and its answers are lost."""
    _change(world, lose=1 + number % 3)


def merge_ticket(world: World, number: int) -> None:
    """A person merges a ticket into another one, a new one or that of another run."""
    state, tickets = _tickets(world)
    if not tickets:
        return
    chosen = tickets[number % len(tickets)]
    if number % 2 or len(tickets) == 1:
        other = {"number": len(state["tickets"]) + 1, "subject": "a question", "status": "open"}
        state["tickets"].append({**other, "ours": False, "into": 0, "closed_by": "", "texts": []})
        into = state["tickets"][-1]
    else:
        into = tickets[(number + 1) % len(tickets)]
    chosen["into"] = into["number"]
    into["texts"] += chosen["texts"]
    chosen["texts"] = []
    world.tracker.write(state)


def close_ticket(world: World, number: int) -> None:
    """A person closes a ticket."""
    state, tickets = _tickets(world)
    if tickets:
        tickets[number % len(tickets)] |= {"status": "resolved", "closed_by": PERSON}
        world.tracker.write(state)


def _change(world: World, **facts: object) -> None:
    if "notify:" in world.more:
        world.tracker.write(world.tracker.read() | facts)


def _tickets(world: World) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """State of the tracker, and its tickets that were not merged into others."""
    state = world.tracker.read()
    return state, [each for each in state["tickets"] if not each["into"]]


STEPS = {
    step.__name__: step
    for step in (track, tracker_away, tracker_back, lose_answers, merge_ticket, close_ticket)
}
