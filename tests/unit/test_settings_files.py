"""Where settings may stand: no key goes where somebody else has written that it should."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from batch_share.errors import SettingsError
from batch_share.settings import Settings, load_settings, origins, store_in_force, user_file

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "u$r0123456789"
GATEWAY = "https://leadsquared.example.com"
NOBODY = 65_534
ENV, TOML = ".env", "batch-share.toml"
LINES = {ENV: "BATCH_SHARE_{}='{}'\n", TOML: "{} = '{}'\n"}


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder, an environment without settings, and an empty folder for the user's own."""
    for name in [name for name in os.environ if name.upper().startswith("BATCH_SHARE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(name: str | Path, **values: str) -> Path:
    """A file with settings, as the user writes it."""
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    line = LINES[ENV if file.name == ENV else TOML]
    file.write_text("".join(line.format(each, value) for each, value in values.items()), encoding="utf-8")
    return file


def write_users(**values: str) -> Path:
    """The user's own file."""
    return write(user_file(), **values)


def problem() -> str:
    """What is wrong with the settings; nothing of a key is in it."""
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert KEY not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- which hosts


@pytest.mark.parametrize(
    "host",
    [
        "https://leadsquared.com",
        "https://api-in21.leadsquared.com",
        "API-US11.LeadSquared.com:443",
        "http://127.0.0.1:8080",
        "https://127.255.0.1",
        "http://[::1]:8080",
        "http://localhost",
    ],
)
def test_keys_go_to_leadsquared_and_to_this_machine(host: str) -> None:
    assert load_settings(host=host).host


@pytest.mark.parametrize(
    "host",
    [
        "https://api.leadsquared.com.evil.example",
        "https://leadsquared.com.evil.example",
        "https://evilleadsquared.com",
        "https://api-leadsquared.com",
        "https://leadsquared.co",
        "https://api.leadsquared.com.",
        "https://127.0.0.1.example.com",
        "https://128.0.0.1",
        "https://0.0.0.0",
        "https://192.168.0.1",
        "https://[2001:db8::1]",
        "https://localhost.example",
        GATEWAY,
    ],
)
@pytest.mark.parametrize("place", ["environment", ENV, TOML, "user's", "option"])
def test_keys_go_to_no_other_host_wherever_it_is_set(
    host: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {}
    match place:
        case "environment":
            monkeypatch.setenv("BATCH_SHARE_HOST", host)
        case "user's":
            write_users(host=host)
        case "option":
            flags = {"host": host}
        case _:
            write(place, **{"HOST" if place == ENV else "host": host})
    with pytest.raises(
        SettingsError, match=r"^host: keys go to no host but leadsquared\.com's and this machine"
    ) as it:
        load_settings(**flags)
    assert "BATCH_SHARE_ALLOW_HOST" in it.value.wrong
    assert host not in it.value.wrong


def test_another_host_is_allowed_by_the_environment_and_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SHARE_ALLOW_HOST", f"{GATEWAY.upper()}/v2")
    assert load_settings(host=GATEWAY).host == GATEWAY
    for other in (f"{GATEWAY}:8443", "https://x.leadsquared.example.com", "https://example.com"):
        with pytest.raises(SettingsError, match=r"^host: keys go to no host but"):
            load_settings(host=other)
    assert load_settings(host="https://api.leadsquared.com").host


def test_another_host_is_allowed_by_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_users(allow_host=GATEWAY)
    write(ENV, HOST=GATEWAY)
    assert load_settings().host == GATEWAY
    assert origins() == {"host": ENV, "allow_host": str(tmp_path / "config" / "batch-share" / TOML)}
    user_file().unlink()
    assert problem().startswith("host: keys go to no host but")
    monkeypatch.setenv("BATCH_SHARE_CONFIG", str(write(tmp_path / "mine.toml", allow_host=GATEWAY)))
    assert load_settings().host == GATEWAY


def test_the_users_own_file_counts_as_such_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_users(allow_host=GATEWAY, host=GATEWAY).parent)
    assert load_settings().host == GATEWAY


@pytest.mark.parametrize("place", [ENV, TOML])
def test_no_file_beside_sheets_says_where_keys_may_go(place: str) -> None:
    write(place, **{name.upper() if place == ENV else name: GATEWAY for name in ("host", "allow_host")})
    assert problem() == (
        f"allow_host: does not count in {place}, which lies beside sheets: set BATCH_SHARE_ALLOW_HOST in the "
        f"environment, or allow_host in {user_file()}"
    )


@pytest.mark.parametrize("place", [ENV, TOML])
def test_no_file_beside_sheets_says_where_leads_are_kept(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, **{"STORE" if place == ENV else "store": "postgresql://h/d"})
    assert problem().startswith(
        f"store: does not count in {place}, which lies beside sheets: set BATCH_SHARE_STORE"
    )
    assert store_in_force() is None
    Path(place).unlink()
    write_users(store="postgresql://h/own")
    assert store_in_force() == load_settings().store == SecretStr("postgresql://h/own")
    named = write(tmp_path / "mine.toml", store="postgresql://h/named")
    monkeypatch.setenv("BATCH_SHARE_CONFIG", str(named))
    assert store_in_force() == load_settings().store == SecretStr("postgresql://h/named")
    named.chmod(0o620)
    with pytest.raises(SettingsError, match="it sets store, but others can write it"):
        store_in_force()


@pytest.mark.parametrize("settle", [load_settings, Settings, lambda **flags: Settings.model_validate(flags)])
def test_no_option_says_where_keys_may_go(settle: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match=r"^allow_host: does not count as an option or argument: set BATCH_"):
        settle(allow_host=GATEWAY)


# --------------------------------------------------------------------------------------------- whose file it is


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@pytest.mark.parametrize("place", [ENV, TOML])
def test_a_file_that_others_can_write_sets_nothing_and_says_so(place: str, name: str) -> None:
    file = write(place, **{name.upper() if place == ENV else name: KEY})
    file.chmod(0o620)
    assert (
        problem()
        == f"{place}: it sets {name}, but others can write it: check what it says, then `chmod go-w {place}`"
    )


@pytest.mark.parametrize(("mode", "counts"), [(0o600, True), (0o644, True), (0o620, False), (0o602, False)])
def test_others_may_read_a_file_but_not_write_it(mode: int, counts: bool) -> None:
    write(TOML, note="mine").chmod(mode)
    if counts:
        assert load_settings().note == "mine"
    else:
        assert "others can write it" in problem()


def test_the_line_that_fixes_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCH_SHARE_CONFIG", str(write(tmp_path / "my own.toml", note="mine")))
    (tmp_path / "my own.toml").chmod(0o666)
    line = problem().partition("`")[2].rstrip("`")
    assert os.system(line) == 0
    assert load_settings().note == "mine"


@pytest.mark.parametrize("place", [ENV, TOML, "the user's"])
def test_a_file_of_another_user_sets_nothing_and_says_so(
    place: str, give_away: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = (
        write_users(note=KEY)
        if place == "the user's"
        else write(place, **{"note" if place == TOML else "NOTE": KEY})
    )
    give_away(file)
    words = f"{file}: it sets note, but it is another user's: check what it says, then `"
    assert problem().startswith(words)
    assert problem().endswith(f"chown $(id -un) {file}`")
    file.chmod(0o666)
    assert problem().endswith(f"chown $(id -un) {file} && chmod go-w {file}`")
    monkeypatch.setattr("batch_share.settings._MODES_TELL", False)  # on Windows
    assert load_settings().note == KEY


def test_a_file_of_roots_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands where an administrator has put it."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files of root's")
    write(ENV, NOTE="of all")
    monkeypatch.setattr("os.geteuid", lambda: NOBODY)
    assert load_settings().note == "of all"


@pytest.mark.parametrize("chained", [False, True])
def test_a_link_counts_only_if_it_and_what_it_leads_to_are_the_users(
    tmp_path: Path, give_away: Callable[[Path], None], chained: bool
) -> None:
    target = write(tmp_path / "there" / ENV, NOTE="mine")
    link = Path(ENV)
    link.symlink_to("between" if chained else target)
    if chained:
        link = Path("between")
        link.symlink_to(target)
    assert load_settings().note == "mine"
    target.chmod(0o622)
    assert problem().endswith("others can write it: check what it says, then `chmod go-w .env`")
    target.chmod(0o600)
    give_away(link)
    assert problem().startswith(".env: it sets note, but it is another user's: check what it says, then `")
    assert f"chown -h $(id -un) {link}" in problem()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (ENV, ""),
        (ENV, "DATABASE_URL=x\nBATCH_SHARER=1\nBATCH_SHARE_NOTE=\n"),
        (TOML, "# note = 'x'\n"),
        (TOML, "note = ''\n"),
    ],
)
def test_a_file_that_sets_nothing_may_be_anybodys(place: str, text: str) -> None:
    Path(place).write_text(text, encoding="utf-8")
    Path(place).chmod(0o666)
    assert (load_settings().note, origins()) == ("", {})


def test_what_is_opened_is_judged_and_not_what_has_its_name_later(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(ENV, NOTE="theirs")
    file.chmod(0o666)
    write("mine", NOTE="mine")
    seen = Path.open

    def swap(path: Path, mode: str) -> object:
        opened = seen(path, mode)
        if path == file:
            Path("mine").replace(path)
        return opened

    monkeypatch.setattr(Path, "open", swap)
    assert "others can write it" in problem()


# --------------------------------------------------------------------------------------------- how they are read


def test_the_users_own_file_is_the_last_to_count_but_for_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    write_users(note="own", event="own", access="own")
    write(TOML, note="file", event="file")
    write(ENV, NOTE="env")
    settings = load_settings()
    assert (settings.note, settings.event, settings.access) == ("env", "file", "own")
    assert origins() == {"note": ENV, "event": TOML, "access": str(user_file())}
    monkeypatch.setenv("BATCH_SHARE_CONFIG", str(user_file()))
    assert (load_settings().event, origins()["event"]) == ("own", str(user_file()))


def test_a_folder_that_may_not_be_searched_holds_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def forbid(path: Path, **how: bool) -> os.stat_result:
        if path == user_file():
            raise PermissionError(13, "Permission denied")
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", forbid)
    assert load_settings().note == ""


@pytest.mark.parametrize("place", [ENV, TOML, "the user's"])
def test_a_mark_at_the_beginning_is_skipped(place: str) -> None:
    file = (
        write_users(note="mine")
        if place == "the user's"
        else write(place, **{"note" if place == TOML else "NOTE": "mine"})
    )
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_settings().note == "mine"


def test_an_env_file_may_be_a_pipe_and_a_folder_is_none() -> None:
    Path(ENV).mkdir()
    assert load_settings().note == ""
    Path(ENV).rmdir()
    os.mkfifo(ENV, 0o600)
    keeper = Thread(target=Path(ENV).write_text, args=["BATCH_SHARE_NOTE=piped\n"])
    keeper.start()
    assert load_settings().note == "piped"
    keeper.join()
