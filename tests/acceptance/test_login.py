"""`login` and `logout`, with a keyring of the test's own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from processes import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from processes import SandboxProcess, Shell

GOOD = ("sandbox-access-key", "sandbox-secret-key")


@pytest.fixture
def shell(shell: Shell, tmp_path: Path) -> Shell:
    """One without host and keys, and with a keyring in a file."""
    ours = {name: value for name, value in shell.env.items() if not name.endswith(("_HOST", "_KEY"))}
    backend = {"PYTHON_KEYRING_BACKEND": "keyring_in_file.InFile", "TEST_KEYRING": str(tmp_path / "keyring.json")}
    return replace(shell, env={**ours, **backend})


def test_a_run_after_a_login_needs_no_other_setting_and_after_a_logout_it_does(
    shell: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    done = shell.run("login", "--stdin", said="\n".join([sandbox.url, *GOOD]))
    assert done.returncode == 0, done.stderr
    assert GOOD[0] not in done.stdout + done.stderr
    assert re.search(r"keys .*: they are user \S+'s\.\n.* Administrator\.\n.*\n.* 201 Site visit, ", done.stdout)
    assert f"\nHost and keys of {sandbox.url} are stored in the system's keyring.\n" in done.stdout
    assert shell.run("doctor").returncode == 0
    sheet = tmp_path / "minimal.csv"
    sheet.write_bytes((SAMPLES / "minimal.csv").read_bytes())
    run = ("run", str(sheet), "--event", "201", "--duration", "7d")
    assert shell.run(*run).returncode == 0
    assert shell.run("logout").stdout == f"The keys for {sandbox.url} are removed from the system's keyring.\n"
    refused = shell.run(*run)
    assert refused.returncode == 2
    assert "host: is not set" in refused.stderr
    assert shell.run("logout").stdout == "The system's keyring holds no keys.\n"


def test_wrong_keys_are_not_kept(shell: Shell, tmp_path: Path, sandbox: SandboxProcess) -> None:
    done = shell.run("login", "--stdin", said=f"{sandbox.url}\nwrong-access\nwrong-secret")
    assert done.returncode == 1
    assert done.stderr.startswith("batch-share: The keys were not stored. LeadSquared refused them (HTTP 401): ")
    assert "wrong-" not in (tmp_path / "keyring.json").read_text() + done.stdout + done.stderr
    assert shell.run("doctor", "--json").returncode == 1


@pytest.fixture(params=["fail", "null"])
def bare(shell: Shell, request: pytest.FixtureRequest) -> Shell:
    """One of a machine without a keyring, or with one that keeps nothing."""
    return replace(shell, env={**shell.env, "PYTHON_KEYRING_BACKEND": f"keyring.backends.{request.param}.Keyring"})


ENV_FILE = ("[Y/n]", "y")


def typed(url: str, keys: tuple[str, str] = GOOD) -> list[tuple[str, str]]:
    """What is asked at a terminal, and what is typed then."""
    return [("leadsquared.com: ", url), ("Access key: ", keys[0]), ("Secret key: ", keys[1])]


def test_where_there_is_no_keyring_nothing_is_asked_before_that_is_told(bare: Shell, tmp_path: Path) -> None:
    done = bare.run("login", "--stdin", said="\n".join(["https://api.leadsquared.com", *GOOD]))
    assert done.returncode == 1
    for name in ("HOST", "ACCESS_KEY", "SECRET_KEY"):
        assert f"BATCH_SHARE_{name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert GOOD[1] not in done.stderr
    code, shown = bare.dialogue([("[Y/n]", "n")], "login")
    assert code == 1
    assert "Host, such as" not in shown
    assert "Nothing was stored." in shown
    assert not (tmp_path / ".env").exists()


def test_where_there_is_no_keyring_env_holds_host_and_keys_beside_what_it_held(
    bare: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nOTHER='two\nBATCH_SHARE_HOST=lines'\nexport BATCH_SHARE_HOST=http://127.0.0.1:9")
    file.chmod(0o644)
    (tmp_path / ".git").mkdir()
    code, shown = bare.dialogue([ENV_FILE, *typed(sandbox.url)], "login")
    assert code == 0
    assert file.read_text() == (
        "# ours\nOTHER='two\nBATCH_SHARE_HOST=lines'\n"
        f"BATCH_SHARE_HOST={sandbox.url}\nBATCH_SHARE_ACCESS_KEY={GOOD[0]}\nBATCH_SHARE_SECRET_KEY={GOOD[1]}\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert "they are user" in shown
    assert "add a line .env to .gitignore" in " ".join(shown.split())
    assert not {*GOOD} & {*shown.split()}
    assert bare.run("doctor").returncode == 0
    (tmp_path / ".gitignore").write_text("*.log\n.env\n")
    assert ".gitignore" not in bare.dialogue([ENV_FILE, *typed(sandbox.url)], "login")[1]
    assert sorted(each.name for each in tmp_path.glob(".*")) == [".env", ".git", ".gitignore"]


@pytest.mark.parametrize("keys", [("wrong", GOOD[1]), ("it's$${HOME}", "sp'ed")])
def test_wrong_keys_are_in_no_env_file(
    bare: Shell, tmp_path: Path, sandbox: SandboxProcess, keys: tuple[str, str]
) -> None:
    code, shown = bare.dialogue([ENV_FILE, *typed(sandbox.url, keys)], "login")
    assert code == 1
    assert "The keys were not stored. LeadSquared refused them" in shown.replace("\n", " ")
    assert not (tmp_path / ".env").exists()


def test_a_host_that_keys_may_not_go_to_is_asked_for_again_before_the_keys_are(
    shell: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    code, shown = shell.dialogue([("leadsquared.com: ", "https://evil.example.com"), *typed(sandbox.url)], "login")
    assert code == 0
    assert shown.index("Error: keys go to no host but") < shown.index("Access key:")


def test_keys_that_others_take_precedence_over_are_told(
    shell: Shell, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    others = {"BATCH_SHARE_ACCESS_KEY": "another-key"}
    done = shell.run("login", "--stdin", said="\n".join([sandbox.url, *GOOD]), **others)
    assert done.returncode == 0
    assert done.stderr == "Others are in force, though, which take precedence: those of environment.\n"


@pytest.mark.parametrize(("kind", "words"), [("folder", "is no plain file"), ("latin", "is not UTF-8 text")])
def test_an_env_file_that_cannot_be_rewritten_is_told_before_anything_is_asked(
    bare: Shell, tmp_path: Path, kind: str, words: str
) -> None:
    if kind == "folder":
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(b"NAME=M\xfcller\n")
    code, shown = bare.dialogue([], "login")
    assert code == 2
    assert words in shown
    assert "[Y/n]" not in shown


@pytest.mark.parametrize("said", ["", "one\ntwo", "a\nb\nc\nd"])
def test_anything_but_three_lines_is_refused(shell: Shell, tmp_path: Path, said: str) -> None:
    done = shell.run("login", "--stdin", said=said)
    assert done.returncode == 2
    assert "write three lines" in done.stderr
    assert "Traceback" not in done.stderr
