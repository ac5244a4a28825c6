"""What each setting is for, in one place: for its option's help, the settings file of `config init`, the README.

It imports nothing, so that `--help` answers at once. The settings themselves, with their kinds and what they are if
nobody sets them, are in `settings`.
"""

from __future__ import annotations

from typing import Final

SETTING_TEXTS: Final = {
    "allow_host": "A host besides LeadSquared's own that keys may go to. Not for a file beside sheets.",
    "host": "Base URL of your region's API: https, or http on this machine.",
    "access_key": "The access key of an administrator.",
    "secret_key": "The secret key of the same administrator.",
    "event": "Code or name of the activity type, for rows that name none.",
    "access": "read or write, for rows that say nothing. If not set: read.",
    "duration": "How long a share lasts: minutes, or 30m, 12h, 7d, 2w; for rows without.",
    "until": "When shares end, in place of duration: 2026-12-31, or 2026-12-31 18:00; for rows without.",
    "note": "Note of the activity, for rows that have none.",
    "header_row": "Row of the headers. If not set, it is found.",
    "encoding": "How CSV files are encoded, such as windows-1250. If not set, their bytes tell.",
    "mapping": "A file that says what columns hold and words mean, as plan --save-map writes one.",
    "dates": "What comes first in 03/04/2026: the day (dmy) or the month (mdy). If not set: its column tells.",
    "timezone": "Time zone of dates that name none, such as Asia/Kolkata. If not set: the account's own.",
    "rate": "Calls it may make. If not set: 25/5s; auto: the limit that LeadSquared told the last run.",
    "bulk": "Post and share many rows to a call: several times as fast.",
    "bulk_rate": "Bulk calls it may make, by your plan: 1/5s, 5/5s, 10/5s, or auto.",
    "share_batch": "In bulk, shares to a call, 25 at most. If not set: 25, or what the account has taken.",
    "workers": "Rows under way at once. If not set: by the rate.",
    "wait": "How long the follow-up waits for one request, such as 10m.",
    "follow_up": "Ask afterwards what became of the shares.",
    "trust_owner": "Go on if the first activity shows no owner.",
    "trust_ids": "Take lead and user Ids as they are where they can't be checked.",
    "trust_marker": "Take what is not found for not there, even if no marker was ever seen.",
    "on_unknown": "Rows of which nobody knows: settle (look up, send again if it never arrived) or park.",
    "grace": "How long reads may lag behind writes; 5s at least, but for a sandbox.",
    "answer_timeout": "How long a call that was sent may go unanswered, before its row counts as unknown.",
    "keep_answers": "How long found leads and users need no look-up, at most; 0: each is looked up.",
    "marker_field": "A custom field for the marker, such as mx_Custom_5, if it should not stand in the note.",
    "allow_duplicates": "Send rows that repeat an earlier row.",
    "renew": "Share again what ends within this time, such as 3d, or has ended.",
    "force": "Share again whatever is shared already.",
    "recover": "Go on with a ledger that is older than its job, or was lost: each row is looked up first.",
    "one_line": "Print one line with the totals, and nothing else but errors.",
    "daily_limit": "Calls a day that your plan allows. If not set: any number.",
    "max_rows": "Send nothing if there are more rows to send. If not set: any number.",
    "max_per_user": "Send nothing if a user would get more leads. If not set: any number.",
    "max_revokes": "Earlier shares that rows with revoke or reassign may revoke without a question.",
    "canary": "Send so many rows first; go on only when all of them are shared.",
    "stop_after_failures": "Stop when so many rows failed in a row, at one step; 0: never.",
    "stop_at": "Stop when so many percent of the rows sent failed, of 50 or more. If not set: never.",
    "notify": "Who is told how a run ended: the URL of a webhook, which is a secret, or a file.",
    "proxy": "The proxy that calls go through; none, or if not set: that of HTTPS_PROXY, if there is one.",
    "sheet": "The largest sheet that is read: megabytes, seconds and counts.",
    "state_folder": "Where it remembers when the account was last called, and its limit.",
    "data_folder": "Where the index of runs is, and what was said of columns.",
    "log_folder": "Where the log is.",
    "log_level": "What is logged: info, or debug, which adds every call.",
    "audit_pages": "Pages of 1,000 activities that a run reads at most, at its end, to prove that none is doubled.",
    "wire_log": "A new file for every call and answer, without anybody's data, to be sent to whoever helps.",
}
