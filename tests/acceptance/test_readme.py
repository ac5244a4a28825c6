"""README and manual are true: their commands run, their screens are today's, and no option is missing."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import FAST, ROOT, SAMPLES, SandboxProcess, Shell, sandbox_process, shell_for
from queues import emptied
from readme_reference import PAGES, README, with_reference
from readme_reference import commands as reference_commands
from recipes import snippet
from screens import SHELL, UNTRIED, Reader, alike, as_seen, reader

from batch_share.cli.entry import Asked
from batch_share.cli.manual import TOPICS
from batch_share.cli.options import option_of, setting_kinds
from batch_share.errors import AccessDenied
from batch_share.ledger.files import LedgerName
from batch_share.ledger.records import Waiting
from batch_share.ledger.states import State
from batch_share.results.wording import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = {name: file.read_text("utf-8") for name, file in {"README": README, **PAGES}.items()}
TYPED = [
    line.partition("  #")[0]
    for text in TEXTS.values()
    for each in SHELL.finditer(text)
    for line in each["typed"].splitlines()
]


def blocks(kind: str, *names: str) -> list[str]:
    """The blocks of one kind, of these texts or of all."""
    pattern = re.compile(rf"^```{kind}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [block for name in names or TEXTS for block in pattern.findall(TEXTS[name])]


def test_the_readme_is_short_and_what_it_links_to_is_there() -> None:
    assert len(TEXTS["README"].splitlines()) <= 250
    for name, text in TEXTS.items():
        folder = (README if name == "README" else PAGES[name]).parent
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / link).is_file(), (name, link)
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXTS["README"]):
        assert (README.parent / picture).stat().st_size < 150_000


def test_what_it_says_is_what_it_says() -> None:
    table = TEXTS["README"].partition("| it says | do |")[2].partition("\n\n")[0]
    trees = [ast.parse(file.read_text("utf-8")) for file in (ROOT / "batch_share").rglob("*.py")]
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    texts = {node.value for node in nodes if isinstance(node.value, str)}
    quoted = re.findall(r"“(.+?)”", table)
    assert len(quoted) == table.count("\n| ") == 11
    assert [each for each in quoted if not any(each in text for text in texts)] == []
    assert {State(state) for state in re.findall(r"^\| `(\w+)`", table, re.MULTILINE)} == {
        *(State.INVALID, State.FAILED, State.UNKNOWN, State.ACCEPTED, State.SKIPPED, State.ENDED)
    }


def test_every_option_command_and_topic_that_is_named_is_there() -> None:
    text = "".join(TEXTS.values())
    known = {name for each in reference_commands().values() for param in each.params for name in param.opts}
    known |= {option_of(setting) for setting in setting_kinds()} | {"--help", "--install-completion", "--now"}
    named = {name.replace("--no-", "--") for name in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    assert named - {name.replace("--no-", "--") for name in known} == set()
    commands = {name.split()[0] for name in reference_commands()}
    assert set(re.findall(r"`batch-share ([a-z][a-z-]*)", text)) <= commands
    assert set(re.findall(r"`batch-share manual ([a-z]+)", text)) <= {*TOPICS}


@pytest.mark.parametrize("name", TEXTS)
def test_the_reference_names_every_command_and_option_as_they_are(name: str) -> None:
    assert with_reference(TEXTS[name]) == TEXTS[name], "run `make reference`"


def test_every_page_is_a_topic_and_is_shipped() -> None:
    shipped = {file.name for file in files("batch_share").joinpath("manual").iterdir()}
    assert shipped == {f"{topic}.md" for topic in TOPICS}
    data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    assert "manual/*.md" in data["batch_share"]
    for topic in TOPICS:
        assert TEXTS[topic].startswith(f"# {topic.capitalize()}: ")


@pytest.mark.parametrize("command", [line for line in TYPED if line.startswith("make")])
def test_make_knows_its_targets(command: str) -> None:
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_what_is_not_tried_is_named_for_a_reason() -> None:
    assert [start for start in UNTRIED if not any(line.startswith(start) for line in TYPED)] == []
    languages = set(re.findall(r"^```(\w+)\n", "".join(TEXTS.values()), re.MULTILINE))
    assert languages == {"sh", "text", "python", "json", "toml", "ini"}


@pytest.fixture
def someone(tmp_path: Path) -> Iterator[Reader]:
    """A reader of the README or a page, with a sandbox in a hurry."""
    with sandbox_process("--limit", FAST, "--latency", "5ms", "--processing", "50ms") as sandbox:
        yield reader(tmp_path, sandbox.url, BATCH_SHARE_RATE=FAST)


def test_the_readme_works_line_by_line_and_shows_what_is_shown(someone: Reader) -> None:
    assert someone.read(TEXTS["README"]) == TEXTS["README"], "run `make reference`"
    assert set(someone.codes.values()) <= {0, 3}, someone.codes  # some rows of the sample are wrong: exit code 3
    assert "rows are shared." in (someone.folder / "samples/leads.report.html").read_text("utf-8")


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if "```sh" in TEXTS[topic]])
def test_a_page_works_line_by_line(someone: Reader, topic: str, request: pytest.FixtureRequest) -> None:
    someone.type("batch-share run leads.csv --yes")  # the sheet that all pages are about
    if topic == "hosts":
        store = request.getfixturevalue("store")
        emptied(store)
        someone.env["BATCH_SHARE_STORE"] = str(store)
    someone.read(TEXTS[topic])
    assert set(someone.codes.values()) <= {0, 3}, someone.codes


def test_a_screen_is_what_is_left_of_what_was_written() -> None:
    assert as_seen("\x1b[1mone\x1b[0m\r\ntwo\r\n\x1b[1A\x1b[2K2\r\nthr3e\rthree") == "one\n2\nthree\n"
    assert alike("8 rows by 12:30, 2 s, Run Id:  isj3xsby") == alike("8 rows by\n9:05:01, 1.5 s, Run Id: brnpdesu")
    assert alike("8 rows") != alike("9 rows")


def test_its_mapping_says_what_a_sheet_holds(offline: Shell, tmp_path: Path) -> None:
    (tmp_path / "mapping.toml").write_text(snippet("mapping", "sheets"), "utf-8")
    (tmp_path / "a.csv").write_text(
        "Lead Number,Neuer Betreuer,Dauer,Access\n1,a@b.example,2 Wochen,lesen\n", "utf-8"
    )
    done = offline.run("plan", "a.csv", "--map", "mapping.toml", "--event", "201", "--json")
    assert (done.returncode, json.loads(done.stdout)["to_send"]) == (0, 1), done.stderr


def test_the_object_of_json_is_as_it_says() -> None:
    """Every key and kind of value; those that are left away where no row waits are told last."""
    reported, stopped = map(json.loads, blocks("json", "programs"))
    states, file = {State(name): count for name, count in reported["states"].items()}, Path("/srv/x")
    waiting = Waiting(reported["waiting"], datetime.fromisoformat(reported["first_due"].removesuffix("Z")))
    ledger = LedgerName.of(file)
    whole = Summary(states, ledger, file, run=reported["run"], waiting=waiting, failed_sheet=file).as_json()
    assert [*whole] == [*reported]
    assert whole == reported | dict.fromkeys(("ledger", "results", "failed_sheet"), str(file))
    least = Summary(states, ledger).as_json()
    assert [*least, "waiting", "first_due"] == [*reported]
    assert {name for name in least if least[name] is None} == {"run", "results", "failed_sheet"}
    error = AccessDenied(401, "Invalid.")
    answered = Asked(stopped["command"], Path(stopped["file"])).stopped(error, 1, 0)
    assert answered | {"error": None} == stopped | {"error": None}
    assert [*answered["error"]] == [*stopped["error"]]
    assert answered["error"]["kind"] == stopped["error"]["kind"]
    assert answered["error"]["message"].startswith(stopped["error"]["message"].removesuffix("…"))


PROGRAMS = [each for each in blocks("python") if "airflow" not in each]  # test_recipes runs that one


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (PROGRAMS[0], ["5 rows: 5 shared 0 None\n"]),
        (PROGRAMS[1], ["Progress(phase=", "5 rows: 5 shared\n", "minimal.results.csv 0 None\n"]),
        (PROGRAMS[2], ["starting 0 None\n", "5 rows: 5 shared\n", "5 rows: 3 shared, 2 revoked\n"]),
        (PROGRAMS[3], ["proved\n", "5 rows: 3 shared, 2 revoked\n"]),
    ],
    ids=["README", "methods", "jobs", "afterwards"],
)
def test_its_programs_run_as_they_stand(
    sandbox: SandboxProcess, tmp_path: Path, program: str, said: list[str]
) -> None:
    assert len(PROGRAMS) == 4
    shutil.copytree(SAMPLES, tmp_path / "samples")
    env = {**shell_for(sandbox, tmp_path).env, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places = [done.stdout.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)
