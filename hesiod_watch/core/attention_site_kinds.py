"""Kinds of attention that concern the whole site, in the order of precedence."""

from __future__ import annotations

from hesiod_watch.core.attention import AttentionKind, Severity, Step, Stops

NOTE, PERSON = Severity.NOTE, Severity.PERSON

SITE_KINDS = (
    AttentionKind(
        "landing-missing",
        PERSON,
        "the landing area is missing, unreadable, or empty although runs are known",
        "{why}",
        (
            Step("bring the file system of {landing} back, then look again", "ls {landing}"),
            Step("if another directory is meant, correct `landing` in the configuration"),
        ),
    ),
    AttentionKind(
        "output-missing",
        PERSON,
        "the output directory is missing, unreadable or not the one that has the results",
        "{why}",
        (
            Step("bring the file system of {output} back, then look again", "ls {output}"),
            Step(
                "if it is mounted, and empty on purpose",
                "mkdir -p {marker_directory} && touch {marker}",
            ),
        ),
    ),
    AttentionKind(
        "locks-unusable",
        PERSON,
        "the directory of the locks is missing or cannot be used, so no worker can start",
        "{why}",
        (Step("try all parts of this host", "hesiod-watch doctor"),),
    ),
    AttentionKind(
        "no-watcher",
        PERSON,
        "no process has looked at the landing area for longer than it should",
        "no process has looked at the landing area for {age}; {who} was the last one",
        (
            Step("look at {service}", "systemctl status hesiod-watch"),
            Step("look at the cron job or the timer that starts {poll}"),
            Step("make one pass now", "hesiod-watch poll"),
            Step("if {who} was removed on purpose, have it forgotten", "rm {state_file}"),
        ),
    ),
    AttentionKind(
        "watcher-stopped",
        PERSON,
        "the service or the poll has not looked for longer than it should, and another one does",
        "{who} has not looked at the landing area for {age}; only other processes look",
        (
            Step("look at {service}", "systemctl status hesiod-watch"),
            Step("look at the cron job or the timer that starts {poll}"),
            Step("if {who} was removed on purpose, have it forgotten", "rm {state_file}"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "config-changed",
        PERSON,
        "the service works with another configuration than the present one",
        "{who} works with a configuration that was changed after its start",
        (
            Step("check the present configuration", "hesiod-watch config check"),
            Step("restart the service", "systemctl restart hesiod-watch"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "upstream-silent",
        PERSON,
        "an upstream does not answer, so new data there stay unknown",
        "the upstream {upstream} does not answer: {why}",
        (
            Step("make sure that {location} is switched on and reachable from this host"),
            Step("then try it", "hesiod-watch list-upstream {upstream}"),
        ),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "upstream-refusing",
        PERSON,
        "an upstream answers and refuses: a key, a host key, a path or a missing program",
        "the upstream {upstream} refuses: {why}",
        (
            Step("try all parts of the connection", "hesiod-watch doctor"),
            Step(
                "after fixing the cause, try it",
                "hesiod-watch list-upstream {upstream}",
            ),
        ),
        Stops.ARRIVAL,
    ),
    AttentionKind(
        "slurm-silent",
        PERSON,
        "Slurm does not answer, so no job is submitted, and no end of one is known",
        "Slurm does not answer: {why}; jobs that run go on",
        (
            Step("ask its controller", "scontrol ping"),
            Step("then look at the jobs", "squeue --me"),
        ),
    ),
    AttentionKind(
        "accounting-silent",
        PERSON,
        "Slurm's accounting does not answer, and a cell waits for the end of a job that the"
        " controller has forgotten",
        "Slurm's accounting does not answer: {why}; cells whose job the controller has forgotten"
        " wait for it",
        (Step("ask it; it is slurmdbd, on its own host", "sacct --allocations"),),
    ),
    AttentionKind(
        "backup-missing",
        PERSON,
        "the place of a backup is missing or is not the backup, so nothing is copied to it",
        "the backup {backup} is missing: {why}",
        (
            Step("bring the file system of the backup {backup} back, then", "hesiod-watch doctor"),
            Step("if it is mounted, and new", "hesiod-watch backup-init {backup}"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "beside-batch",
        PERSON,
        "runs with cells are in directories where `batch` expects none, so no work is done on them",
        "{many} where `batch: {batch}` expects none, so no work is done: {examples}",
        (
            Step(
                "if runs belong there, set `batch: {fitting}` in the configuration, then check it",
                "hesiod-watch doctor",
            ),
            Step(
                "if `batch: {batch}` is right, move each run to where it belongs in the landing"
                " area: {right}"
            ),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "take-up-undecided",
        PERSON,
        "many finished runs were there before the first look, and none of them is taken up until"
        " the configuration decides",
        "{many} not taken up, because they were finished before the first look, until"
        " `take_up.since` in {config} says: `now` for only new runs, a day such as 2026-11-30 for"
        " those that began since then, or `always` for all; for single runs: hesiod-watch take-up"
        " RUN",
        (
            Step(
                "take up only new runs",
                "(echo; echo 'take_up: {{since: now}}') >> {config_file}",
            ),
            Step(
                "take up those that began on a day or later: write that day",
                "(echo; echo 'take_up: {{since: YYYY-MM-DD}}') >> {config_file}",
            ),
            Step(
                "take up all of them",
                "(echo; echo 'take_up: {{since: always}}') >> {config_file}",
            ),
            Step("take up single runs", "hesiod-watch take-up RUN"),
            Step("after a change of the configuration", "systemctl restart hesiod-watch"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "no-upstreams",
        PERSON,
        "the configuration has no upstream, so runs of the landing area are not taken up",
        "`upstreams` is empty in the configuration, so of {landing} {many} not taken up",
        (
            Step(
                "if sequencers write into the landing area, remove `upstreams` from the"
                " configuration"
            ),
            Step("then check it", "hesiod-watch doctor"),
        ),
        Stops.NOTHING,
    ),
    AttentionKind(
        "dry-run",
        NOTE,
        "`processing.executor` is `dry-run`, so nothing is done",
        "`processing.executor` is dry-run: due actions are only printed, and nothing is done",
        (Step("to have the work done, remove `executor: dry-run` from the configuration"),),
    ),
    AttentionKind(
        "type-without-runs",
        NOTE,
        "the pattern of a configured type matches no run that is here",
        "the pattern of the type {type} matches no run that is here",
        (Step("check `types` in the configuration: `runs` must match the whole name of a run"),),
        Stops.NOTHING,
    ),
)
