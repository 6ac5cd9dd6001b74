"""The faults of which the machine must find each one, by kind."""

from __future__ import annotations

from tests.world.mutants import Mutant

PROCESSED = "begin 0, finish 0, look 0, look 0"
COPIED = "begin_there 0, finish 0, look 0, wait 0, look 0"
BACKED_UP = "add_backup 0, begin 0, finish 0, look 0, look 0, wait 0, look 0, look 0"

MUTANTS = (
    Mutant(
        "message-sent-again",
        "A message is sent without a search for it.",
        "notify/rt_channel.py",
        "            if not _search(\n",
        "            if True or not _search(\n",
        ("track 0, lose_answers 0, begin 0, finish 0, look 0, wait 1, look 0",),
    ),
    Mutant(
        "message-not-sent",
        "A message after the first one is recorded as delivered, and is not sent.",
        "notify/rt_channel.py",
        "                rt.send(found.number, message.kind, stored_text(message, ticket.run))\n"
        "                if",
        "                if",
        ("track 0, begin 0, finish 0, look 0",),
    ),
    Mutant(
        "messages-out-of-order",
        "The last message is sent first.",
        "actions/deliver_messages.py",
        "            for message in messages:\n",
        "            for message in reversed(messages):\n",
        ("track 0, begin 0, finish 0, look 0",),
    ),
    Mutant(
        "old-run-taken-up",
        "A run from before the day in take_up is taken up.",
        "rules/historic.py",
        "    return all(day and day < first for day in days)\n",
        "    return False\n",
        ("old_run 0, look 0",),
    ),
    Mutant(
        "damaged-copy-counts",
        "A copy with another content counts as a copy of raw data.",
        "rules/deletion_proof.py",
        '    if copy.md5 != entry.md5:\n        return "differs"\n',
        "",
        ("mark_there 0, begin_there 0, finish 0, look 0, damage_backup 33, wait 0, look 0",),
    ),
    Mutant(
        "fsync-of-a-flag-dropped",
        "A new file, such as a flag or the manifest, is not fsynced.",
        "host/files.py",
        "                os.fsync(descriptor)\n",
        "                pass\n",
        (PROCESSED,),
    ),
    Mutant(
        "fsync-of-reads-dropped",
        "The end of an output is not fsynced.",
        "fastq/output_set.py",
        "                file.write(last)\n                file.sync()\n",
        "                file.write(last)\n",
        (PROCESSED,),
    ),
    Mutant(
        "fsync-of-results-dropped",
        "The directory of the results is not fsynced.",
        "actions/outputs/publication.py",
        "        for directory in (cell_output, *cell_output.parents[:2]):",
        "        for directory in cell_output.parents[:2]:",
        (PROCESSED,),
    ),
    Mutant(
        "fsync-of-a-copy-dropped",
        "A file that rsync has copied here is not fsynced.",
        "runs/cell_files.py",
        "            os.fsync(descriptor)\n",
        "            pass\n",
        (COPIED,),
    ),
    Mutant(
        "report-dropped",
        "A failed cell is not reported.",
        "rules/cell_attention.py",
        "    yield failed\n",
        "    yield from ()\n",
        ("begin 0, finish 0, cut 0, look 0, look 0",),
    ),
    Mutant(
        "overdue-forgotten",
        "A cell with missing files never becomes overdue.",
        "rules/overdue.py",
        "    return end is not None and end <= now\n",
        "    return False\n",
        ("begin 0, finish 0, lose 0, look 0, look 0",),
    ),
    Mutant(
        "unmounted-landing",
        "An empty landing area counts as mounted.",
        "runs/areas.py",
        "    return landing.problem(known)\n",
        '    return ""\n',
        ("begin 0, finish 0, look 0, take_away 0, look 0",),
    ),
    Mutant(
        "unmounted-output",
        "Results are written into an output area without its marker.",
        "runs/areas.py",
        "        proven = any(_is_directory(target) for target in results)\n",
        "        proven = True\n",
        ("begin 0, finish 0, look 0, begin 1, finish 1, take_away 1, look 0",),
    ),
    Mutant(
        "one-copy-suffices",
        "Raw data are deleted when there is one other copy.",
        "rules/deletion_proof.py",
        "    if len(distinct) >= COPIES:\n",
        "    if len(distinct) >= 1:\n",
        (BACKED_UP,),
    ),
    Mutant(
        "source-changed",
        "The program empties a source that it has taken.",
        "actions/process.py",
        "        withdraw_others(cell_output, job.owner, job.judge)\n",
        "        withdraw_others(cell_output, job.owner, job.judge)\n"
        "        for output in outputs:\n"
        "            for source in output.sources:\n"
        "                (job.cell_dir.path / source.name).write_bytes(b'')\n",
        (PROCESSED,),
    ),
    Mutant(
        "result-forgotten",
        "A cell that is done counts as not processed.",
        "rules/stages.py",
        "    if flags.done:\n        return Stage.PROCESSED\n",
        "",
        (PROCESSED,),
    ),
    Mutant(
        "silence-without-limit",
        "A worker waits without limit for an ingest of a host that does not answer.",
        "actions/process.py",
        "            if silence.seconds() >= LONGEST_SILENCE:\n",
        "            if False:\n",
        ("begin 0, land 0, killed_elsewhere 40, finish 0, look 0, wait 0, look 0",),
    ),
    Mutant(
        "step-dropped",
        "The entry about a failed cell has no step.",
        "rules/cell_attention.py",
        "    yield failed\n",
        "    yield replace(failed, steps=())\n",
        ("begin 0, finish 0, cut 0, look 0, look 0",),
    ),
    Mutant(
        "count-not-repeated",
        "The files of a cell are not judged again before its results are published.",
        "actions/process.py",
        "        counted = contents, _judge(job, contents, equal_sources(written))\n",
        "        counted = contents, completeness.judge(contents)\n",
        ("begin 0, finish 0, stopped 60, lose 0, go_on 0",),
    ),
    Mutant(
        "age-not-awaited",
        "A file that changed after the final_summary counts at once.",
        "runs/minknow/contents.py",
        "    return newest / 1e9 if newest > summary else None\n",
        "    return None\n",
        ("begin 0, land 14, land 7, grow 0, look 0, look 0",),
    ),
    Mutant(
        "claim-removed",
        "The program removes the claim of a cell that it has processed.",
        "actions/process.py",
        '    log.line(f"{cell}: done: {results.sentence}")\n    return "done"\n',
        '    log.line(f"{cell}: done: {results.sentence}")\n'
        "    (job.run_dir / 'pipeline' / f'{cell.stem}.started').unlink()\n"
        '    return "done"\n',
        ("begin 0, finish 0, stopped 150, go_on 0",),
    ),
    Mutant(
        "retry-without-limit",
        "A message that is not the last one gets numbers without end.",
        "runs/flags/outbox.py",
        "            if given := found.numbers.get(key):\n",
        "            if (given := found.numbers.get(key)) == found.highest and given:\n",
        ("begin 0, finish 0, stopped 48, look_elsewhere 0, go_on 0",),
    ),
    Mutant(
        "event-forgotten",
        "No message says that a cell is processed.",
        "rules/events.py",
        "        if flag is not None and (flag.text is not None or not flag.regular):\n",
        "        if flag is not None and not flag.regular:\n",
        (PROCESSED,),
    ),
    Mutant(
        "failed-attempt-is-done",
        "An attempt that failed is recorded as done.",
        "actions/attempt.py",
        '    outcome: flags.AttemptOutcome = "failed"\n',
        '    outcome: flags.AttemptOutcome = "done"\n',
        ("add_backup 0, begin 0, finish 0, take_away 3, look 0, look 0, bring_back 0, look 0",),
    ),
    Mutant(
        "lost-run-not-reported",
        "A run that its sequencer does not list any more is not reported.",
        "service/needs_person.py",
        '            lost_by=self.missing.get(snapshot.path, ("",))[0],\n',
        '            lost_by="",\n',
        ("begin_there 0, look 0, take_away 2, look 0",),
    ),
)
