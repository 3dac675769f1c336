"""The page of errors: statuses and reasons of the API, reasons of dead letters, exit codes."""

from __future__ import annotations

from catalog.mapping import Reason
from docs.made.markdown import code, table
from loyalty.effects import STATUSES as RESULTS
from web.api.commanding import _STATUSES as OF_REASONS
from web.api.problems import _TITLES as TITLES
from web.api.problems import STATUSES

HEAD = """\
# Errors

What goes wrong says what is wrong, where, and what to do: on the command line in two lines (`error:`,
`hint:`), from the API as a problem. Here stand the codes that programs may lean on.

This page is made from the code: `python -m docs.made`.

## Problems of the API

`application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). `type` is always
`about:blank`: the status says what kind of error it is, `title` is that of the table, `detail` says it in
words, `hint` what to do, `errors` which fields (`{"field", "message"}`). A refused command also has
`reason` (below) and `command_id`.
"""
#: What each status means, and what the caller does.
MEANINGS = {
    400: (
        "a webhook's event does not fit its source's mapping; `error` and `field` say why",
        "mend the record",
    ),
    401: ("no key, one that was revoked, or a token that is not valid", "send a key as `X-API-Key`"),
    403: ("the role is too small; an approver has edited the draft", "ask somebody who may"),
    404: ("there is no such thing, or no such path", "look for the id in the list it comes from"),
    405: ("the path is there, the method is not", "see [REST](rest.md)"),
    409: ("it does not fit how things stand: `reason`, or `detail`, says why", "do what `hint` says"),
    412: ("somebody has changed it since you read it", "read it again, and edit that"),
    413: ("the body, or a record in it, is too large", "send less at once"),
    422: ("the input is wrong; `errors` names the fields", "mend them"),
    428: ("an edit without `If-Match`", "send the `ETag` of what you have read"),
    429: ("more requests than `KHAYWE_API_RATE`", "wait for the seconds of `Retry-After`"),
    500: ("a defect of khaywe", "report it, with the API's log of that time"),
    502: ("another system did not do what it was asked for", "`detail` says which, and what it said"),
    503: ("Kafka, PostgreSQL or the workers do not answer", "try again; `khaywe status`"),
}
#: Reasons of refused commands.
REASONS = {
    "already_replayed": "the dead letter was mapped again before",
    "bytes_not_kept": "the dead letter's record was too large to be kept",
    "closed": "the customer has ended, or goes on under another id",
    "control": "the customer is in the universal control group",
    "erased": "the customer was erased",
    "insufficient_points": "the balance is less",
    "invalid_arguments": "the arguments are not what the command takes",
    "invalid_command": "it is no command; it is a dead letter, too",
    "invalid_time": "the time of a tick cannot be read",
    "no_model": "predictions are switched off in the catalog",
    "not_replayable": "the dead letter is no raw record of a data source",
    "opted_out": "the customer does not want to take part",
    "oversized": "the command has more than 900 KiB",
    "registry_away": "the schema registry of the dead letter's source does not answer",
    "unknown_command": "there is no such command, or not for a segment",
    "unknown_customer": "no event of this customer was ever seen",
    "unknown_grant": "the customer has no such offer",
    "unknown_segment": "the condition of the segment cannot be read",
    "unknown_source": "the catalog has no data source of the dead letter's",
    "wall_clock": "`KHAYWE_CLOCK=wall`: workers write the ticks",
    "wrong_partition": "ticks and replays are read on partition 0 only",
}
#: Reasons of dead letters that no mapping gives.
LETTERS = ("invalid_command",)
EXITS = (
    ("0", "done"),
    (
        "1",
        "it could not be done, was refused, or what was asked for is not so: a record that fits no mapping "
        "(`source test`), topics that differ (`topics check`), a replay that is not the same (`replay`), a "
        "service that does not answer (`status`), a model that fails (`ml validate`), a product that was "
        "refused (`product sync`), a command without its results in time (`command`)",
    ),
    ("2", "the command line is wrong: no such command, option or value"),
    ("130", "Ctrl-C, during the demo"),
)


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD]
    lines += table(
        ("status", "title", "it means", "what to do", "raised as"),
        [
            (str(status), title, *MEANINGS[status], code(_raised(status)))
            for status, title in sorted(TITLES.items())
        ],
    )
    lines += ["", "## Reasons of refused commands", ""]
    lines += [
        "`reason` of `command-results` and of problems. By the fold, in order with events, or by the "
        "normaliser before a command enters the log. A replay of a dead letter can also be refused with "
        "one of the [reasons of dead letters](#reasons-of-dead-letters): the record still does not fit.",
        "",
        *table(
            ("reason", "status", "it means", "by"),
            [
                (f"`{reason}`", str(OF_REASONS.get(reason, 409)), meaning, _by(reason))
                for reason, meaning in sorted(REASONS.items())
            ],
        ),
    ]
    lines += ["", "## Reasons of dead letters", ""]
    lines += [
        f"{code(sorted([*Reason, *LETTERS]))}: what each means stands in "
        "[Dead letters](../dead-letters.md#reasons).",
    ]
    lines += ["", "## Exit codes", "", *table(("code", "it means"), EXITS), ""]
    lines += [
        "`khaywe worker` and `khaywe api` end with 0 after SIGTERM or SIGINT. A worker that stops on an "
        "error ends with 1, and its last lines say why.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _raised(status: int) -> list[str]:
    return [kind.__name__ for kind, number in STATUSES if number == status]


def _by(reason: str) -> str:
    return "fold" if reason in {told for _, told in RESULTS} else "normaliser"
