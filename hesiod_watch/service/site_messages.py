"""Messages of the whole site, for trouble that no run's outbox can take.

They are in `{output}/.hesiod-watch/messages/`, in the form and with the guarantees of a run's
messages, and have one ticket. Trouble of the landing area, of the locks and of upstreams, and runs
that cannot be taken up, are reported here. If the output area is missing, only a poll prints that.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Collection, Iterable

from hesiod_watch.config import Config
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display
from hesiod_watch.host.process import iso_now
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.rules import attention_events
from hesiod_watch.rules.attention_events import ATTENTION, ATTENTION_ENDED
from hesiod_watch.rules.message_text import attention_ended_text, attention_text
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe_site
from hesiod_watch.runs.state_files import MARKER

logger = logging.getLogger(__name__)

LOG = "messages.log"


def queue_site_messages(
    config: Config,
    found: Collection[Attention],
    *,
    judged: bool,
    unjudged_runs: Iterable[str] = (),
) -> None:
    """Queue a message for each thing that begins to need a person, and one for each end.

    Nothing ends if not everything was `judged`, nor in the runs that were not. Never raises.
    """
    place = flags.SitePipeline(config.output)
    try:
        if not stat.S_ISREG(place.status(MARKER).st_mode):
            return
        outbox = observe_site(config.output, judge=config.judge).outbox
        if outbox and outbox.problem:
            return  # delivery reports it
        reported = outbox.reported if outbox else frozenset()
        for key in outbox.unnumbered if outbox else ():
            flags.number(place, key)  # its writer was stopped before numbering it
        begun = [
            each
            for each in attention_events.begun(found, reported, of_site=True)
            if each[0] not in reported
        ]
        ended = attention_events.ended(found, reported, of_site=True) if judged else ()
        if begun and outbox is None:
            flags.begin_outbox(place, ())
        for key, each in begun:
            _put(config, place, key, ATTENTION, each.run, attention_text(each))
        for key, begin in ended:
            if flags.read_run(place, begin) not in unjudged_runs:
                text = attention_ended_text(flags.read_text(place, begin))
                _put(config, place, key, ATTENTION_ENDED, "", text)
    except FileNotFoundError:
        return  # without the marker, nothing is written here
    except (HesiodError, OSError) as error:
        logger.warning("messages of the site are not written", extra=fields(why=error))


def _put(
    config: Config, place: flags.SitePipeline, key: str, event: str, run: str, text: str
) -> None:
    kinds = config.notify.kinds()
    channels = {name: events[event] for name, events in kinds.items() if event in events}
    record = {
        "event": event,
        "run": display(run),
        "channels": channels,
        "time": iso_now(),
        "text": text,
    }
    if flags.put_message(place, key, record):
        first = text.partition("\n")[0]
        RunLog(place / LOG).line(f"reported {event}: {first}")
        logger.info("reported", extra=fields(event=event, why=first))
