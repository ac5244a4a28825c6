"""Why a row is where it is: one name for each kind of reason. What is said of it to people is made of these above.

Ledgers hold these values: one that is there keeps its meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a row is where it is; with its state, its step and some details, all that its sentence is made of."""

    TOLD = "told"
    """An older ledger said it in words of its own."""

    # of the sheet: what only the sheet itself can mend comes first, for of several the first that is here counts
    SHIFTED = "shifted"
    NEVER_STORED = "never_stored"
    ERROR_VALUE = "error_value"
    AMBIGUOUS = "ambiguous"
    NO_USER = "no_user"
    NO_LEAD = "no_lead"
    NO_TYPE = "no_type"
    OVER = "over"
    MARKUP = "markup"
    TOO_LONG = "too_long"
    INVALID = "invalid"
    CONTRADICTED = "contradicted"
    UNCHECKED = "unchecked"

    # need not be sent
    LEFT_OUT = "left_out"
    REPEAT = "repeat"
    ALREADY_SHARED = "already_shared"
    GONE = "gone"
    """The sheet no longer has the row; its state says how far it had come."""

    # shares that were made before, and are taken back for the row
    BEING_TAKEN = "being_taken"
    TAKEN_BACK = "taken_back"
    NOT_TAKEN = "not_taken"
    NOTHING_KNOWN = "nothing_known"

    # what LeadSquared answered
    REFUSED = "refused"
    NOT_PROCESSED = "not_processed"
    WAITING = "waiting"
    STATUS_UNREAD = "status_unread"
    STATUS_REFUSED = "status_refused"
    REVOKED = "revoked"

    # not sent after all, or never to be shared
    TOO_LATE = "too_late"
    NO_ADDRESS = "no_address"
    ANOTHERS = "anothers"

    # of a call that may have been done
    LOST = "lost"
    CUT_OFF = "cut_off"
    REPEATED = "repeated"
    UNREAD = "unread"
    UNSHOWN = "unshown"
    PARKED = "parked"
    SENT_AGAIN = "sent_again"


IN_THE_SHEET = frozenset({Cause.SHIFTED, Cause.NEVER_STORED, Cause.ERROR_VALUE})
"""What can be mended in the sheet itself alone: no sheet of failed rows can hold such a row as it is."""


class Wrong(ValueError):
    """What is wrong with a value, in words, and of which kind it is."""

    def __init__(self, words: str, cause: Cause) -> None:
        super().__init__(words)
        self.cause = cause
