"""The files that settings stand in, and whether they count: only if nobody but their user, or root, can write them.

`.env` and `batch-share.toml` lie beside sheets, in folders that others may share. Whoever can write them could say
where keys go, and what is sent with them. So a file that others can write, or that is another's, is refused with
the line that mends it, as soon as it sets anything; and a host for keys besides LeadSquared's own can't be allowed
there at all. Windows tells of other users in no mode: there files count as they are.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dotenv
import platformdirs
from pydantic_settings import EnvSettingsSource, InitSettingsSource

from batch_share.errors import SettingsError, first_of, is_blank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

DEFAULT_FILE: Final = "batch-share.toml"
ENV_FILE: Final = ".env"

_MODES_TELL: Final = os.name == "posix"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def user_file() -> Path:
    """The user's own settings file, wherever they work: it counts below those of the current folder."""
    return Path(platformdirs.user_config_dir("batch-share", appauthor=False), DEFAULT_FILE)


def file_sources(settings_cls: type[BaseSettings]) -> dict[str, PydanticBaseSettingsSource]:
    """What the files set, by their names, the one that wins first. Raises SettingsError; it quotes no value."""
    named = os.environ.get("BATCH_SHARE_CONFIG", "").strip()
    here, users = Path(named or DEFAULT_FILE), user_file()
    if named and not here.is_file():
        raise SettingsError(
            "BATCH_SHARE_CONFIG", f"there is no file {here}", problem="There is no such settings file."
        )
    is_own = bool(named) or here.resolve() == users.resolve()
    return {
        ENV_FILE: _env_source(settings_cls),
        str(here): _toml_source(settings_cls, here, may_allow_host=is_own),
        str(users): _toml_source(settings_cls, users, may_allow_host=True),
    }


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without what is set but empty: it may not hide what another source has, nor a default."""
    return {
        name: filled(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if not is_blank(value)
    }


def refuse_allow_host(place: str) -> None:
    """Raises SettingsError: nobody but the keys' owner says where else they may go."""
    instead = f"set BATCH_SHARE_ALLOW_HOST in the environment, or allow_host in {user_file()}"
    raise SettingsError(
        "allow_host",
        f"does not count {place}: {instead}",
        problem="The setting allow_host does not count in a file that lies beside sheets.",
        hint="Set it in the environment, or in your own settings file.",
    )


def _env_source(settings_cls: type[BaseSettings]) -> EnvSettingsSource:
    text, fault = _read(Path(ENV_FILE))
    found = dotenv.dotenv_values(stream=io.StringIO(text))
    source = EnvSettingsSource(settings_cls)
    source.env_vars = filled({name.lower(): value for name, value in found.items()})
    prefix = str(settings_cls.model_config["env_prefix"]).lower()
    ours = {name.removeprefix(prefix).partition("__")[0] for name in source.env_vars if name.startswith(prefix)}
    _check_counts(ENV_FILE, ours & settings_cls.model_fields.keys(), fault, may_allow_host=False)
    return source


def _toml_source(settings_cls: type[BaseSettings], file: Path, *, may_allow_host: bool) -> InitSettingsSource:
    text, fault = _read(file)
    values = _parse_toml(file, text)
    source = InitSettingsSource(settings_cls, filled(values))
    known = source.init_kwargs.keys() & settings_cls.model_fields.keys()
    _check_counts(str(file), known, fault, may_allow_host=may_allow_host)
    unknown = sorted(values.keys() - settings_cls.model_fields.keys())
    if unknown:
        raise SettingsError(
            str(file),
            f"has no setting called {unknown[0]!r}",
            problem=f"The settings file names a setting that there is not: {unknown[0]!r}.",
        )
    return source


def _parse_toml(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its message says where; it quotes no value, but names: is one a key?
        words = re.sub(r" ?\(?'.*'\)?", "", str(error), flags=re.DOTALL)
        raise SettingsError(
            str(file), f"is not valid TOML ({words})", problem=f"The settings file is not valid TOML ({words})."
        ) from None


def _check_counts(file: str, names: AbstractSet[str], fault: str, *, may_allow_host: bool) -> None:
    """Whether a file may set what it sets. Raises SettingsError."""
    if names and fault:
        raise SettingsError(
            file,
            f"it sets {first_of(sorted(names))}, but {fault}",
            problem=f"A settings file sets {first_of(sorted(names))}, and may not.",
        )
    if "allow_host" in names and not may_allow_host:
        refuse_allow_host(f"in {file}, which lies beside sheets")


def _read(file: Path) -> tuple[str, str]:
    """A file's text, nothing if there is none, and why it may not set anything, nothing if it may.

    Judged is what was opened: a name could be given to another file meanwhile. Raises SettingsError.
    """
    if not _is_there(file):
        return "", ""
    try:
        with file.open("rb") as opened:
            return opened.read().decode("utf-8-sig"), _fault(file, os.fstat(opened.fileno()))
    except UnicodeDecodeError:
        raise SettingsError(
            str(file), "is not UTF-8 text", problem="The settings file is not UTF-8 text."
        ) from None
    except OSError as error:
        raise SettingsError(
            str(file),
            f"can't be read ({error.strerror})",
            problem=f"The settings file can't be read ({error.strerror}).",
        ) from None


def _is_there(file: Path) -> bool:
    """Also a pipe, as keepers of secrets make one. A folder is none; a home that may not be searched has none."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode)


def _fault(file: Path, opened: os.stat_result) -> str:
    """Why it may hold what another person wrote, and the line that mends it; nothing if it is its user's alone."""
    if not _MODES_TELL:
        return ""
    ours = {os.geteuid(), 0}
    chown = "chown" if os.geteuid() == 0 else "sudo chown"
    links = [shlex.quote(str(link)) for link in _links(file) if link.lstat().st_uid not in ours]
    mends = [f"{chown} -h $(id -un) {link}" for link in links]
    mends += [f"{chown} $(id -un) {shlex.quote(str(file))}"] if opened.st_uid not in ours else []
    why = "it is another user's" if mends else "others can write it"
    mends += [f"chmod go-w {shlex.quote(str(file))}"] if opened.st_mode & _OTHERS_WRITE else []
    return f"{why}: look at what it says, then `{' && '.join(mends)}`" if mends else ""


def _links(file: Path) -> Iterator[Path]:
    """The links that lead to a file: whoever owns one says which file is read."""
    while file.is_symlink():
        yield file
        file = file.parent / file.readlink()
