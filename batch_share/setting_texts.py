"""What each setting is for, in one place: for its option's help, the settings file of `config init`, the README.

It imports nothing, so that `--help` answers at once. The settings themselves, with their kinds and what they are if
nobody sets them, are in `settings`.
"""

from __future__ import annotations

from typing import Final

SETTING_TEXTS: Final = {
    "allow_host": "A host besides LeadSquared's own that keys may go to. Not allowed in a file beside sheets.",
    "host": "Base URL of your region's API: https, or http on this machine.",
    "access_key": "The access key of an administrator.",
    "secret_key": "The secret key of the same administrator.",
    "event": "Code or name of the activity type, for rows that name none.",
    "access": "read or write, for rows that don't say. If not set: read.",
    "duration": "How long a share lasts: minutes, or 30m, 12h, 7d, 2w; for rows that don't say.",
    "until": "When shares end, in place of duration: 2026-12-31, or 2026-12-31 18:00; for rows that don't say.",
    "note": "Note of the activity, for rows that have none.",
    "header_row": "Row of the headers. If not set: found by their names.",
    "encoding": "Encoding of CSV files, such as windows-1250. If not set: detected.",
    "mapping": "A file that says what columns hold and words mean, as written by plan --save-map.",
    "dates": "What comes first in 03/04/2026: the day (dmy) or the month (mdy). If not set: as its column shows.",
    "timezone": "Time zone of dates that name none, such as Asia/Kolkata. If not set: the account's own.",
    "rate": "Calls it may make. If not set: 25/5s; auto: the limit that LeadSquared last reported.",
    "bulk": "Post and share many rows per call: several times as fast.",
    "bulk_rate": "Bulk calls it may make, depending on your plan: 1/5s, 5/5s, 10/5s, or auto.",
    "share_batch": "In bulk, shares per call, at most 25. If not set: 25, or what the account has accepted.",
    "workers": "Rows under way at once. If not set: derived from the rate.",
    "wait": "How long the follow-up waits for each request, such as 10m.",
    "follow_up": "Check afterwards whether the shares were processed.",
    "trust_owner": "Continue if the first activity shows no owner.",
    "trust_ids": "Use lead and user Ids as they are where they can't be checked.",
    "trust_marker": "Treat an activity that is not found as never posted, even if no marker was ever seen.",
    "on_unknown": "Unknown rows: settle (look up, send again if they never arrived) or park (leave them).",
    "grace": "How long reads may lag behind writes; at least 5s, except for a sandbox.",
    "answer_timeout": "How long a call may go unanswered before its row counts as unknown.",
    "keep_answers": "How long leads and users that were found are remembered; 0: always look them up.",
    "marker_field": "A custom field for the marker, such as mx_Custom_5, in place of the note.",
    "allow_duplicates": "Send rows that repeat an earlier row.",
    "renew": "Share again what ends within this time, such as 3d, or has ended.",
    "force": "Share again whatever is shared already.",
    "recover": "Continue with a ledger that is older than its job, or was lost: each row is looked up first.",
    "one_line": "Print one line with the totals, and nothing else but errors.",
    "daily_limit": "Calls a day that your plan allows. If not set: unlimited.",
    "max_rows": "Send nothing if there are more rows to send. If not set: unlimited.",
    "max_per_user": "Send nothing if a user would get more leads. If not set: unlimited.",
    "max_revokes": "Earlier shares that rows with revoke or reassign may revoke without asking.",
    "canary": "Send this many rows first, and the rest only once all of them are shared.",
    "stop_after_failures": "Stop when this many rows in a row failed, at the same step; 0: never.",
    "stop_at": "Stop when this percentage of 50 or more rows sent has failed. If not set: never.",
    "notify": "Where to report how a run ended: the URL of a webhook, which is a secret, or a file.",
    "proxy": "The proxy that calls go through, or none. If not set: that of HTTPS_PROXY, if any.",
    "sheet": "Limits on sheets: megabytes, seconds and counts.",
    "state_folder": "Where it remembers when the account was last called, and its limit.",
    "data_folder": "Where the index of runs is, and what columns were said to hold.",
    "log_folder": "Where the log is.",
    "log_level": "What to log: info, or debug, which adds every call.",
}
