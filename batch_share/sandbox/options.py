"""Every switch of the sandbox.

A default is what LeadSquared's documentation or a live account showed; where nobody knows
(`ignore_owner`, `share_batch`, `fixed_window`, ...) a switch lets both answers be rehearsed.
"""

from __future__ import annotations

from dataclasses import dataclass

from batch_share.common import Rate
from batch_share.sandbox.endpoints import MAX_PAGE, paths_of
from batch_share.sandbox.faults import parse_faults
from batch_share.sandbox.wire import DIALECTS
from batch_share.sandbox.world import FIRST_NUMBER

REJECT_FORMS = (429, 403, 200)
OWNERS = ("id", "email", "name", "both")
LEAD_LISTS = ("usual", "refused", "unsorted", "as-text", "repeating", "skipping")
PAGING = ("usual", "ignored", "oldest-first", "page-count")
CALLS = Rate(25, 5)  # as documented for every account
BULK_CALLS = Rate(1, 5)  # the least that is documented of bulk APIs


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How the sandbox listens, whom it knows and how it behaves. All times are seconds.

    Account: `other_access_keys` open it too, with the same secret key; `seed`, `leads` and `users` make the
    World, in which the first lead has `first_number` and each other one `number_step` more than the one before;
    `activity_types` are the valid event codes, `deactivated_types` those that are listed, and take nothing any
    more; `start` tells accounts of the same people apart, by their OrgId, and the Ids of what is made there;
    `listed_users` cuts the list of Users.Get short, as large accounts report.

    Limits: `rate` for all calls, `bulk_rate` for bulk calls on top (None: none); the window slides unless
    `fixed_window`; a refusal comes as HTTP `reject_as` (429, 403 or 200), with a Retry-After if `retry_after`.

    Time: `latency` is the median round trip, `jitter` the sigma of its lognormal spread; `processing` is how long a
    share request takes, spread from half to one and a half; `read_lag` hides young activities from reads.

    Doubts: `fail` is the fraction of share requests that end in an ErrorMessage, `fail_leads` are the numbers of
    leads that make each of theirs do so, whatever else it is for; `share_batch` is the most elements of
    one Share or Revoke; `ignore_owner` gives every activity to the key's own user; `hide_owner` and `hide_note`
    leave owners and notes out of reads; `refuse_in` refuses the operator IN of Leads.Get; `refuse` names APIs, such
    as Users.Get, that are refused whatever they are asked. `lead_lists` is what becomes of leads whose numbers
    are greater or less than one (operators > >= < <=): they come as asked for (`usual`), are `refused`, come
    `unsorted`, are compared and sorted `as-text`, or a page shows a lead twice (`repeating`) or leaves some out
    (`skipping`). `lead_page` is the most leads of a page, however many are asked for.

    Answers: `dialect` is how all of them are written (see `wire`); `without` names APIs, or groups of them such
    as `helpers`, that this account does not have (see `endpoints.NAMES`). `owners` is what reads show as `Owner` of
    an activity: the user's GUID (`id`), e-mail address (`email`), `name`, or for `both` the name, with all three in
    fields beside it. `paging` is how activities are listed: as documented (`usual`), by first pages alone
    (`ignored`), `oldest-first` in any case, or with the length of the page as RecordCount (`page-count`). With
    `one_request_id` a cache answers every Share but the first, with the first one's Id, and nothing is shared.

    Faults: `faults` says what goes wrong how often, as in `applied-reset=2%,Create:503=1%` (see `faults`).
    """

    host: str = "127.0.0.1"
    port: int = 8425
    access_key: str = "sandbox-access-key"
    secret_key: str = "sandbox-secret-key"  # noqa: S105 - public on purpose: it opens nothing but the sandbox
    other_access_keys: tuple[str, ...] = ()
    seed: int = 1
    start: int = 0
    leads: int = 2000  # made in a blink, and more than a rehearsal takes
    first_number: int = FIRST_NUMBER
    number_step: int = 1
    users: int = 20  # of which two are inactive
    activity_types: tuple[int, ...] = (201, 202)
    deactivated_types: tuple[int, ...] = (999,)
    listed_users: int | None = None
    rate: Rate = CALLS
    bulk_rate: Rate | None = BULK_CALLS
    fixed_window: bool = False
    reject_as: int = 429
    retry_after: float | None = None
    latency: float = 0.0
    jitter: float = 0.0
    processing: float = 3.0  # long enough to see that a run waits for it
    read_lag: float = 0.0
    fail: float = 0.0
    fail_leads: frozenset[int] = frozenset()
    share_batch: int = 25
    ignore_owner: bool = False
    hide_owner: bool = False
    hide_note: bool = False
    refuse_in: bool = False
    lead_lists: str = "usual"
    lead_page: int = MAX_PAGE
    refuse: tuple[str, ...] = ()
    dialect: str = "plain"
    without: tuple[str, ...] = ()
    owners: str = "id"
    paging: str = "usual"
    one_request_id: bool = False
    faults: str = ""

    def __post_init__(self) -> None:
        if self.reject_as not in REJECT_FORMS:
            raise ValueError("reject_as is 429, 403 or 200")
        if self.users < 1 or self.leads < 0 or self.share_batch < 1:
            raise ValueError("an account has at least one user, and a share at least one element")
        if self.first_number < 0 or self.number_step < 1 or not 1 <= self.lead_page <= MAX_PAGE:
            raise ValueError(f"no number is negative or given twice, and a page has 1 to {MAX_PAGE} leads")
        if not 0 <= self.fail <= 1:
            raise ValueError("fail is a fraction from 0 to 1")
        if min(self.latency, self.jitter, self.processing, self.read_lag, self.retry_after or 0) < 0:
            raise ValueError("no time is negative")
        choices_of = {"dialect": DIALECTS, "owners": OWNERS, "paging": PAGING, "lead_lists": LEAD_LISTS}
        for name, choices in choices_of.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} can't be {getattr(self, name)!r}: choose {', '.join(choices)}")
        for name in self.without:
            paths_of(name)
        parse_faults(self.faults)
