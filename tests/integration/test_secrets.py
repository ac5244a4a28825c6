"""No byte that is written holds four characters of a key, whatever goes wrong and whatever a server quotes.

Whole jobs with known keys, under every fault, with every log at its most talkative.
"""

from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import logging
import subprocess
import sys
from asyncio import constants
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from placing import named
from processes import SandboxProcess, shell_for
from pydantic import SecretStr
from secrets_hunt import ACCESS, SECRET, leaks, leaks_in, reported_by
from trial import BULK, CREATE, FAST, SHARE, STATUS, Onlooker, Trial, hurry, options, trial

from batch_share.cli.screen import Display
from batch_share.jobs.outputs import results_of, status_of
from batch_share.logs import FILE_NAME, LineHandler, LogFile, attached
from batch_share.sandbox import Sandbox
from batch_share.sandbox.faults import KINDS, Particulars, strike
from batch_share.sandbox.wire import Reply, envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trial import Step

    from batch_share.jobs.job import Ending
    from batch_share.sandbox.wire import SandboxCall

BY_IDS, OF_LEAD = "LeadManagement.svc/Leads/Retrieve/ByIds", "ProspectActivity.svc/Retrieve"
STEPS = (BY_IDS, CREATE, OF_LEAD, SHARE, STATUS)
HEADERS = f"x-LSQ-AccessKey: {ACCESS}\r\nx-LSQ-SecretKey: {SECRET}"
QUICK = Particulars(FAST, f"https://elsewhere.invalid/{quote(ACCESS)}?{quote(SECRET)}", 0.02, 0.05, 0.05)

WRITES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": lambda key: json.dumps(key)[1:-1],
    "html": html.escape,
    "url": lambda key: quote(key, safe=""),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "cut off": lambda key: key[:10],
    "four at the end": lambda key: f"********{key[-4:]}",
    "masked": lambda key: f"{key[:4]}…{key[-5:]}",
    "with a tag inside": lambda key: f"{key[:11]}<wbr>{key[11:]}",
    "with a line's end inside": lambda key: f"{key[:11]}\n{key[11:]}",
}
SHAPES: dict[str, Callable[[str], Reply]] = {
    "error page": lambda said: Reply(500, f"<html><pre>{said}</pre></html>".encode(), content_type="text/html"),
    "page that breaks off": lambda said: Reply(502, f"<html><pre>{said}".encode(), content_type="text/html"),
    "exception": lambda said: Reply.json(envelope("MXSomeException", said), 500),
    "exception's type": lambda said: Reply.json(envelope(f"MX{said}", ""), 200),
    "refusal in a 200": lambda said: Reply.json({"Status": "Failed", "Message": {"Message": said}}),
    "message of a 200": lambda said: Reply.json({"Status": "Success", "Message": said}),
    "status's words": lambda said: Reply.json(
        {"Status": "Success", "Message": {"ResponseText": said}, "ShareStatus": 1, "ErrorMessage": None}
    ),
    "status's error": lambda said: Reply.json(
        {"Status": "Success", "Message": {}, "ShareStatus": 9, "ErrorMessage": said}
    ),
    "bad request": lambda said: Reply(400, said.encode(), content_type="text/plain"),
    "denial": lambda said: Reply.json(envelope("MXInvalidAccessDetailsException", said), 401),
    "throttle": lambda said: Reply.json(
        envelope("MXAPIRateLimitExceededException", said), 429, {"Retry-After": "0"}
    ),
}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 0.03)


@contextmanager
def talkative(folder: Path) -> Iterator[io.StringIO]:
    """Every log at its most talkative, our own in `folder` too; asyncio's debug mode, the database's echo."""
    said, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(said)
    loggers = [root, *map(logging.getLogger, ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "aiohttp"))]
    loggers.append(logging.getLogger("asyncio"))
    before = [logger.level for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    depth, vars(constants)["DEBUG_STACK_DEPTH"] = constants.DEBUG_STACK_DEPTH, 1  # where each step was begun: slow
    own = LogFile(folder / "log", said.write)
    try:
        with attached(own, LineHandler(said.write), level=logging.DEBUG):
            yield said
    finally:
        vars(constants)["DEBUG_STACK_DEPTH"] = depth
        root.removeHandler(handler)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@dataclass(slots=True)
class Struck:
    """Lets `reply` take the place of the first answer at each of `STEPS`, and looks at every file at every call."""

    folder: Path
    reply: Callable[[Step, SandboxCall], Any]
    hit: set[str] = field(default_factory=set)
    found: dict[str, set[bytes]] = field(default_factory=dict)

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        self.found |= leaks_in(self.folder)
        if call.endpoint not in STEPS or call.endpoint in self.hit:
            return await step(call)
        self.hit.add(call.endpoint)
        reply: Reply = await self.reply(step, call)
        return replace(reply, headers={"X-Echo": HEADERS.replace("\r\n", " "), **reply.headers})


async def everything(it: Trial, hit: set[str], seconds: float) -> str:
    """Every job on the sheet, over and over until each step's fault was met; all that can be shown of it."""
    shown: list[str] = []
    for _ in range(len(STEPS) + 1):
        ending = await it.run(Onlooker(), workers=1, answer_timeout=seconds)
        shown += reported(ending)
        if hit == set(STEPS):
            break
    for job in (it.resume, it.reconcile, it.follow_up):
        shown += reported(await job(answer_timeout=seconds))
    await results_of(it.name, named(it.folder / "answered.xlsx"))
    shown += [repr(await status_of(it.name)), repr(it.settings()), str(it.settings())]
    shown += [it.settings().model_dump_json(), repr(it.settings().model_dump()), repr(it.settings().public())]
    return "\n".join(shown)


def reported(ending: Ending) -> list[str]:
    """What an ending shows, to people and to programs."""
    Display(json=False).end(ending)
    Display(json=True).end(ending)
    return [repr(ending), reported_by(ending.error) if ending.error else ""]


async def hunt(
    folder: Path, reply: Callable[[Step, SandboxCall], Any], capsys: Any, *, seconds: float = 30.0
) -> Struck:
    """Run everything with the known keys and look for them in whatever was written or shown."""
    struck = Struck(folder, reply)
    keys = {"access_key": ACCESS, "secret_key": SECRET}
    with talkative(folder) as log:
        async with trial(folder, struck, rows=4, leads=4, users=7, **keys) as it:
            it.changes = {name: SecretStr(key) for name, key in keys.items()}
            shown = await everything(it, struck.hit, seconds)
    out, err = capsys.readouterr()
    assert (leaks(shown), leaks(log.getvalue()), leaks(out + err)) == (set(), set(), set())
    assert struck.found | leaks_in(folder) == {}
    assert "INSERT INTO" in log.getvalue()
    assert '"event": "called"' in (folder / "log" / FILE_NAME).read_text(encoding="utf-8")
    assert len(out) > 100
    return struck


def test_the_hunt_finds_what_it_looks_for(tmp_path: Path) -> None:
    for write in WRITES.values():
        (tmp_path / "held").write_text(f"\0{write(ACCESS)} {write(SECRET)}")
        assert len(next(iter(leaks_in(tmp_path).values()))) >= 2
    error = ValueError()
    error.__context__ = KeyError(SECRET)
    assert leaks(reported_by(error))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_fault_at_any_step_leaves_a_piece_of_a_key_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Each answer also quotes the keys in a header, and each redirect in its target."""

    async def reply(step: Step, call: SandboxCall) -> Reply:
        own = KINDS[kind].of
        return await (step(call) if own and call.endpoint not in own else strike(kind, QUICK, step, call))

    struck = await hunt(tmp_path, reply, capsys, seconds=0.25 if kind.endswith("silent") else 30.0)
    assert struck.hit == set(STEPS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turn", [0, 1])
async def test_an_answer_that_quotes_the_keys_leaves_no_piece_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: str, turn: int
) -> None:
    """In every shape, written in another way at each step; in two turns each way of writing has its step."""
    ways = dict(zip(STEPS, [*WRITES][turn * len(STEPS) :], strict=False))

    async def reply(step: Step, call: SandboxCall) -> Reply:
        write = WRITES[ways[call.endpoint]]
        return SHAPES[shape](f"received {write(ACCESS)} and {write(SECRET)}")

    struck = await hunt(tmp_path, reply, capsys)
    assert struck.hit == set(STEPS)


IN_ITEMS: dict[str, Callable[[str], dict[str, Any]]] = {
    "refused": lambda said: {"ActivityCreated": False, "ExceptionType": f"MX{said}", "ExceptionMessage": said},
    "refused in other words": lambda said: {"ActivityCreated": False, "ErrorMessage": said},
    "one too many": lambda said: {"ActivityCreated": False, "ExceptionMessage": f"limit of 9 in 1 second {said}"},
    "neither": lambda said: {"ActivityCreated": True, "ExceptionMessage": said},
    "a lead": lambda said: {"ActivityCreated": True, "RelatedProspectId": said},
}


@pytest.mark.parametrize(("said", "way"), [*zip(cycle(IN_ITEMS), WRITES, strict=False)])
async def test_bulk_items_and_refused_shares_that_quote_the_keys_leave_no_piece_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, way: str
) -> None:
    """The second item of the first bulk call for many, and every share call for many."""
    echo, struck = f"{WRITES[way](ACCESS)} and {WRITES[way](SECRET)}", set()

    async def quoting(step: Step, call: SandboxCall) -> Reply:
        assert leaks_in(tmp_path) == {}
        items = json.loads(call.body) if call.endpoint in {BULK, SHARE} else []
        if len(items) < 2 or (call.endpoint == BULK and BULK in struck):
            return await step(call)
        struck.add(call.endpoint)
        if call.endpoint == SHARE:
            call.outcome = "refused"
            return Reply.json(envelope("MXSomeException", echo), 500)
        first, *others = items
        call.body = json.dumps([first, *others[1:]]).encode()
        rows = json.loads((await step(call)).body)["Response"]
        rows.insert(1, IN_ITEMS[said](echo))
        return Reply.json({"Response": [row | {"RowNumber": at} for at, row in enumerate(rows, 1)]})

    keys = {"access_key": ACCESS, "secret_key": SECRET}
    with talkative(tmp_path) as log:
        async with trial(tmp_path, quoting, rows=12, leads=12, users=7, **keys) as it:
            it.changes = {"bulk": True, "workers": 1} | {name: SecretStr(key) for name, key in keys.items()}
            shown = [line for _ in range(2) for line in reported(await it.run())]
            await results_of(it.name, named(it.folder / "answered.xlsx"))
            shown.append(repr(await status_of(it.name)))
    out, err = capsys.readouterr()
    assert struck == {BULK, SHARE}
    assert (leaks("\n".join(shown)), leaks(log.getvalue()), leaks(out + err)) == (set(), set(), set())
    assert leaks_in(tmp_path) == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_carries_nothing_there(tmp_path: Path, status: int) -> None:
    keys = {"access_key": ACCESS, "secret_key": SECRET}
    async with Sandbox(options(**keys)) as other:

        async def reply(step: Step, call: SandboxCall) -> Reply:
            return Reply(status, b"", {"Location": f"{other.url}/v2/{call.endpoint}"})

        struck = Struck(tmp_path, reply)
        async with trial(tmp_path, struck, rows=4, leads=4, users=7, **keys) as it:
            it.changes = {name: SecretStr(key) for name, key in keys.items()}
            await everything(it, struck.hit, 30.0)
            assert it.sandbox.report()["live_shares"]["count"] == 4
        assert other.report()["total_calls"] == 0


# -------------------------------------------------------------------------------------------- the command line


@dataclass(slots=True)
class Lookout:
    """Reads the process list at every call, as any user of the machine may."""

    folder: Path
    lines: set[bytes] = field(default_factory=set)

    async def __call__(self, step: Step, call: SandboxCall) -> Reply:
        """A wrapper of the sandbox."""
        self.lines |= processes(self.folder)
        return await step(call)


def processes(folder: Path) -> set[bytes]:
    """The command lines of all processes that work in `folder`: others may be tests that show keys on purpose."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (process / "cwd").readlink() == folder:
                found.add((process / "cmdline").read_bytes())
    return found


with_process_list = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="this system shows no process list as files"
)


@with_process_list
def test_the_lookout_sees_the_processes_of_its_folder_and_no_others(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(flush=True); input()", ACCESS]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leaks(b"".join(processes(tmp_path)))
        assert processes(tmp_path / "another") == set()
        process.communicate(b"\n")


@with_process_list
async def test_the_process_list_and_the_screen_hold_no_key(tmp_path: Path) -> None:
    """A process's environment, where the keys are, is for its own user alone to read."""
    lookout = Lookout(tmp_path)
    async with trial(tmp_path, lookout, rows=2, access_key=ACCESS, secret_key=SECRET) as it:
        env = {"BATCH_SHARE_ACCESS_KEY": ACCESS, "BATCH_SHARE_SECRET_KEY": SECRET, "PYTHONASYNCIODEBUG": "1"}
        shell = shell_for(SandboxProcess(it.sandbox.url), tmp_path)
        for command in (
            ["plan", "leads.csv", "--online", "--output", "plan.xlsx", "--save", "plan.json"],
            ["run", "leads.csv", "--yes", "--json", "--plan", "plan.json"],
            ["follow-up", "leads.csv.ledger.db"],
            ["status", "leads.csv.ledger.db", "--json"],
        ):
            # The process list says of a forked process what it says of the one that forked it.
            run = shell.run_alone if command[0] in {"plan", "run"} else shell.run
            done = await asyncio.to_thread(run, *command, **env)
            assert done.returncode == 0, f"{command[0]} failed: {done.stderr}"
            assert leaks(done.stdout + done.stderr) == set(), f"the screen of {command[0]}"
    seen = b"\n".join(lookout.lines)
    assert b"run\0leads.csv\0" in seen, "the process list was not seen"
    assert leaks(seen) == set(), "the process list"
    assert leaks_in(tmp_path) == {}, "the folder"


@pytest.mark.parametrize("command", ["run", "resume", "follow-up", "plan", "status", "results"])
@pytest.mark.parametrize("option", ["--access-key", "--secret-key", "--access_key"])
def test_a_key_can_not_be_given_as_an_option(tmp_path: Path, command: str, option: str) -> None:
    done = shell_for(SandboxProcess("http://127.0.0.1:9"), tmp_path).run(command, "leads.csv", f"{option}={SECRET}")
    assert done.returncode == 2
    takes_settings = command not in {"status", "results"}
    reported = f"{option}: never type a key in a command" if takes_settings else f"No such option: {option}"
    assert reported in done.stderr
    assert not leaks(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("batch-share.toml", "secret_key = [{0}]"),
        ("batch-share.toml", "secret_key = {{a = {0}}}"),
        ("batch-share.toml", "[secret_key]\n{0} = 1"),
        ("batch-share.toml", "secret_key.{0} = 1\n[secret_key.{0}]"),
        ("batch-share.toml", "secret_key = {0} {0}"),
        (".env", 'BATCH_SHARE_SECRET_KEY="{1}\x01{1}"'),
        (".env", 'BATCH_SHARE_SECRET_KEY="{1}\x7f"'),
        (".env", 'BATCH_SHARE_SECRET_KEY="{1}\u200b"'),
        ("environment", "{1}\x1b[0m"),
        ("environment", "{1}\n{1}"),
        ("environment", "{1} {1}"),
    ],
)
def test_a_key_that_can_not_be_one_is_reported_by_its_name_alone(tmp_path: Path, file: str, text: str) -> None:
    own, rest = json.dumps(SECRET), SECRET.replace('"', "")
    env = {"BATCH_SHARE_SECRET_KEY": text.format(own, SECRET)} if file == "environment" else {}
    shell = shell_for(SandboxProcess("http://127.0.0.1:9"), tmp_path)
    if file != "environment":
        (tmp_path / file).write_text(text.format(own, rest), encoding="utf-8")
        shell = replace(shell, env={name: said for name, said in shell.env.items() if "SECRET" not in name})
    done = shell.run("run", "leads.csv", **env)
    assert done.returncode == 2
    assert "secret_key" in done.stderr or "batch-share.toml: is not valid TOML" in done.stderr
    assert "Traceback" not in done.stderr
    assert not leaks(done.stdout + done.stderr)


def test_a_wrong_number_as_a_key_is_not_quoted(tmp_path: Path) -> None:
    shell = shell_for(SandboxProcess("http://127.0.0.1:9"), tmp_path)
    shell = replace(shell, env={name: said for name, said in shell.env.items() if "SECRET" not in name})
    (tmp_path / "batch-share.toml").write_text("secret_key = 8675309271828")
    done = shell.run("run", "leads.csv")
    assert (done.returncode, "secret_key" in done.stderr) == (2, True)
    assert not [at for at in range(10) if "8675309271828"[at : at + 4] in done.stdout + done.stderr]
