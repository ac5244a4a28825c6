"""`login` and `logout`, with a keyring of the test's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from processes import DEADLINE, ROOT, SAMPLES, dialogue, sandbox_thread
from recipes import snippet
from trial import HEADER, sheet_rows

from batch_share.common import Rate
from batch_share.sandbox import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import SandboxProcess, Shell

STRICT, OTHER = Rate(20, 0.4), "other-access-key"
GOOD = ("sandbox-access-key", "sandbox-secret-key")


@pytest.fixture
def env(shell: Shell, tmp_path: Path) -> dict[str, str]:
    """An environment without host and keys, and with a keyring in a file."""
    ours = {name: value for name, value in shell.env.items() if not name.endswith(("_HOST", "_KEY"))}
    backend = {"PYTHON_KEYRING_BACKEND": "keyring_in_file.InFile", "TEST_KEYRING": str(tmp_path / "keyring.json")}
    return {**ours, **backend, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}


def call(env: dict[str, str], folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command with these words on its standard input."""
    command = [sys.executable, "-m", "batch_share", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, input=said, capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_a_run_after_a_login_needs_no_other_setting_and_after_a_logout_it_does(
    env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess
) -> None:
    done = call(env, tmp_path, "login", "--stdin", said="\n".join([sandbox.url, *GOOD]))
    assert done.returncode == 0, done.stderr
    assert GOOD[0] not in done.stdout + done.stderr
    assert re.search(r"keys .*: they are user \S+'s\.\n.* Administrator\.\n.*\n.* 201 Site visit, ", done.stdout)
    assert f"\nHost and keys of {sandbox.url} are stored in the system's keyring.\n" in done.stdout
    assert call(env, tmp_path, "doctor").returncode == 0
    sheet = tmp_path / "minimal.csv"
    sheet.write_bytes((SAMPLES / "minimal.csv").read_bytes())
    run = ("run", str(sheet), "--event", "201", "--duration", "7d")
    assert call(env, tmp_path, *run).returncode == 0
    assert (
        call(env, tmp_path, "logout").stdout
        == f"The keys for {sandbox.url} are removed from the system's keyring.\n"
    )
    refused = call(env, tmp_path, *run)
    assert refused.returncode == 2
    assert "host: is not set" in refused.stderr
    assert call(env, tmp_path, "logout").stdout == "The system's keyring holds no keys.\n"


def test_wrong_keys_are_not_kept(env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess) -> None:
    done = call(env, tmp_path, "login", "--stdin", said=f"{sandbox.url}\nwrong-access\nwrong-secret")
    assert done.returncode == 1
    assert done.stderr.startswith("batch-share: The keys were not stored. LeadSquared refused them (HTTP 401): ")
    assert "wrong-" not in (tmp_path / "keyring.json").read_text() + done.stdout + done.stderr
    assert call(env, tmp_path, "doctor", "--json").returncode == 1


@pytest.fixture(params=["fail", "null"])
def bare(env: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """That of a machine without a keyring, or with one that keeps nothing."""
    return env | {"PYTHON_KEYRING_BACKEND": f"keyring.backends.{request.param}.Keyring"}


COMMAND = (sys.executable, "-m", "batch_share", "login")
ENV_FILE = ("[Y/n]", "y")


def typed(url: str, keys: tuple[str, str] = GOOD) -> list[tuple[str, str]]:
    """What is asked at a terminal, and what is typed then."""
    return [("leadsquared.com: ", url), ("Access key: ", keys[0]), ("Secret key: ", keys[1])]


def test_where_there_is_no_keyring_nothing_is_asked_before_that_is_told(
    bare: dict[str, str], tmp_path: Path
) -> None:
    done = call(bare, tmp_path, "login", "--stdin", said="\n".join(["https://api.leadsquared.com", *GOOD]))
    assert done.returncode == 1
    for name in ("HOST", "ACCESS_KEY", "SECRET_KEY"):
        assert f"BATCH_SHARE_{name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert GOOD[1] not in done.stderr
    code, shown = dialogue(COMMAND, tmp_path, bare, ("[Y/n]", "n"))
    assert code == 1
    assert "Host, such as" not in shown
    assert "Nothing was stored." in shown
    assert not (tmp_path / ".env").exists()


def test_where_there_is_no_keyring_env_holds_host_and_keys_beside_what_it_held(
    bare: dict[str, str], tmp_path: Path, sandbox: SandboxProcess
) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nOTHER='two\nBATCH_SHARE_HOST=lines'\nexport BATCH_SHARE_HOST=http://127.0.0.1:9")
    file.chmod(0o644)
    (tmp_path / ".git").mkdir()
    code, shown = dialogue(COMMAND, tmp_path, bare, ENV_FILE, *typed(sandbox.url))
    assert code == 0
    assert file.read_text() == (
        "# ours\nOTHER='two\nBATCH_SHARE_HOST=lines'\n"
        f"BATCH_SHARE_HOST={sandbox.url}\nBATCH_SHARE_ACCESS_KEY={GOOD[0]}\nBATCH_SHARE_SECRET_KEY={GOOD[1]}\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert "they are user" in shown
    assert "add a line .env to .gitignore" in " ".join(shown.split())
    assert not {*GOOD} & {*shown.split()}
    assert call(bare, tmp_path, "doctor").returncode == 0
    (tmp_path / ".gitignore").write_text("*.log\n.env\n")
    assert ".gitignore" not in dialogue(COMMAND, tmp_path, bare, ENV_FILE, *typed(sandbox.url))[1]
    assert sorted(each.name for each in tmp_path.glob(".*")) == [".env", ".git", ".gitignore"]


@pytest.mark.parametrize("keys", [("wrong", GOOD[1]), ("it's$${HOME}", "sp'ed")])
def test_wrong_keys_are_in_no_env_file(
    bare: dict[str, str], tmp_path: Path, sandbox: SandboxProcess, keys: tuple[str, str]
) -> None:
    code, shown = dialogue(COMMAND, tmp_path, bare, ENV_FILE, *typed(sandbox.url, keys))
    assert code == 1
    assert "The keys were not stored. LeadSquared refused them" in shown.replace("\n", " ")
    assert not (tmp_path / ".env").exists()


def test_a_host_that_keys_may_not_go_to_is_asked_for_again_before_the_keys_are(
    env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess
) -> None:
    code, shown = dialogue(
        COMMAND, tmp_path, env, ("leadsquared.com: ", "https://evil.example.com"), *typed(sandbox.url)
    )
    assert code == 0
    assert shown.index("Error: keys go to no host but") < shown.index("Access key:")


def test_keys_that_others_take_precedence_over_are_told(
    env: dict[str, str], tmp_path: Path, sandbox: SandboxProcess
) -> None:
    env["BATCH_SHARE_ACCESS_KEY"] = "another-key"
    done = call(env, tmp_path, "login", "--stdin", said="\n".join([sandbox.url, *GOOD]))
    assert done.returncode == 0
    assert done.stderr == "Others are in force, though, which take precedence: those of environment.\n"


@pytest.mark.parametrize(("kind", "words"), [("folder", "is no plain file"), ("latin", "is not UTF-8 text")])
def test_an_env_file_that_cannot_be_rewritten_is_told_before_anything_is_asked(
    bare: dict[str, str], tmp_path: Path, kind: str, words: str
) -> None:
    if kind == "folder":
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(b"NAME=M\xfcller\n")
    code, shown = dialogue(COMMAND, tmp_path, bare)
    assert code == 2
    assert words in shown
    assert "[Y/n]" not in shown


@pytest.fixture
def two_keys() -> Iterator[SandboxProcess]:
    """A sandbox of one account, which two keys open."""
    with sandbox_thread(SandboxOptions(port=0, rate=STRICT, latency=0.005, other_access_keys=(OTHER,))) as made:
        yield made


def test_two_accounts_by_name_that_are_one_share_its_limit(
    env: dict[str, str], tmp_path: Path, two_keys: SandboxProcess
) -> None:
    """Their keys are in the keyring and in files, as the manual has them; their runs go on at once."""
    text = re.sub("https://.*leadsquared.com", two_keys.url, snippet("accounts", "accounts"))
    (tmp_path / "batch-share.toml").write_text(
        text.replace("/run/secrets", str(tmp_path)).replace("10/5s", "20/400ms")
    )
    for name, key in (("access", OTHER), ("secret", GOOD[1])):
        (tmp_path / f"europe-{name}-key").write_text(f"{key}\n")
        (tmp_path / f"europe-{name}-key").chmod(0o600)
    env["BATCH_SHARE_RATE"] = "20/400ms"
    assert (
        "write two lines: the access key, the secret key"
        in call(
            env, tmp_path, "login", "--account", "asia", "--stdin", said="\n".join([two_keys.url, *GOOD])
        ).stderr
    )
    done = call(env, tmp_path, "login", "--account", "asia", "--stdin", said="\n".join(GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nThe keys of the account asia are stored in the system's keyring.\n" in done.stdout
    shown = call(env, tmp_path, "config", "show", "--account", "europe").stdout
    assert re.search(r"(?m)^access_key +set +accounts.europe$", shown)
    assert OTHER not in shown
    doctor = json.loads(call(env, tmp_path, "doctor", "--account", "europe", "--json").stdout)
    assert doctor["problems"] == 0
    assert doctor["checks"][0]["words"] == "Host and keys of the account europe are set, from: accounts.europe."
    rows, runs = sheet_rows(24), []
    for name, part in (("asia", rows[:12]), ("europe", rows[12:])):
        (tmp_path / f"{name}.csv").write_text("\n".join(map(",".join, [HEADER, *part])))
        run = [*COMMAND[:-1], "run", f"{name}.csv", "--event", "201", "--duration", "7d", "--account", name]
        runs.append(subprocess.Popen(run, cwd=tmp_path, env=env))
    assert [run.wait(DEADLINE) for run in runs] == [0, 0]
    report = two_keys.report()
    assert (report["refusals"], report["duplicates"]) == (0, 0)
    assert report["fullest_window"] <= STRICT.limit
    kept = {"keyring.json", "europe-access-key", "europe-secret-key"}
    for file in (each for each in tmp_path.rglob("*") if each.is_file() and each.name not in kept):
        assert not [key for key in (*GOOD, OTHER) if key.encode() in file.read_bytes()], file
    assert len({*json.loads((tmp_path / "state" / "identities").read_text()).values()}) == 1
    assert call(env, tmp_path, "logout", "--account", "asia").stdout == (
        "The keys for asia are removed from the system's keyring.\n"
    )
    refused = call(env, tmp_path, "resume", "asia.csv")
    assert refused.returncode == 2
    assert "accounts.asia.access_key: is not set. " in refused.stderr
    assert "`batch-share login --account asia`" in refused.stderr


@pytest.mark.parametrize("said", ["", "one\ntwo", "a\nb\nc\nd"])
def test_anything_but_three_lines_is_refused(env: dict[str, str], tmp_path: Path, said: str) -> None:
    done = call(env, tmp_path, "login", "--stdin", said=said)
    assert done.returncode == 2
    assert "write three lines" in done.stderr
    assert "Traceback" not in done.stderr
