"""The command that serves the page. Heavy imports are inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share.cli.options import Given, takes
from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from batch_share.settings import Settings


@takes("set", "verbose")
def serve(
    given: Given,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8765,
    folder: Annotated[
        Optional[Path], typer.Option(help="Where sheets and ledgers are kept. Default: in the data folder.")
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
    link: Annotated[bool, typer.Option("--link", help="Print one more link to the page that is served.")] = False,
    behind_proxy: Annotated[
        Optional[str], typer.Option(metavar="ORIGIN", help="A proxy logs people in, and is opened at this address.")
    ] = None,
    user_header: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="The header in which the proxy says who it is.")
    ] = None,
) -> int:
    """Serve a page in the browser, for people without a terminal, until Ctrl-C.

    It prints a link that lets one browser in, once. Only this machine can reach it, or a proxy on it.

    Example: batch-share serve
    """
    import asyncio

    from batch_share.page.door import Door, new_link, origin_of, server_of

    settings = given.settings()
    place = folder if folder is not None else settings.data_folder / "page"
    if user_header is not None and behind_proxy is None:
        raise SettingsError("--user-header", "it is the proxy that says who it is: give --behind-proxy too")
    if settings.two_people and user_header is None:
        raise SettingsError("two_people", "nobody can be told from another: give --behind-proxy and --user-header")
    if link:
        if not (port_ := server_of(place).get("port")):
            raise SettingsError("--link", "nobody serves this folder: start `batch-share serve` first")
        typer.echo(f"http://127.0.0.1:{port_}/enter?token={new_link(place)}")
        return 0
    origin = origin_of(behind_proxy) if behind_proxy is not None else None
    door = Door(place, origin, user_header)

    def with_said(**said: Any) -> Settings:
        more = [f"{name}={value}" for name, value in said.items()]
        return Given({**given, "set": [*(given["set"] or ()), *more]}).settings()

    return asyncio.run(_serve(door, place, port, with_said, opens=browser and origin is None, given=given))


async def _serve(door: Any, folder: Path, port: int, settings: Any, *, opens: bool, given: Given) -> int:
    """Listen until a signal comes; what goes on is finished and noted then."""
    import asyncio
    import logging
    import os
    import webbrowser

    from aiohttp import web
    from filelock import FileLock, Timeout

    from batch_share.cli.work import draining
    from batch_share.logs import LineHandler, attached, open_log
    from batch_share.page.door import new_link, note_server, server_of
    from batch_share.page.server import Server

    in_force = settings()
    server = Server(folder, door, settings, two_people=in_force.two_people)
    lock = FileLock(folder / ".lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = server_of(folder).get("process", "unknown")
        raise SettingsError(
            "--folder",
            f"another server has {folder} (process {who}): use that one (`batch-share serve --link`), or name "
            "another folder",
        ) from None
    handler = LineHandler(lambda line: typer.echo(line, err=True)) if given["verbose"] else None
    level = logging.getLevelNamesMapping()[in_force.log_level.upper()]
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=1.0)
    with (
        lock,
        attached(open_log(in_force.log_folder, lambda line: typer.echo(line, err=True)), handler, level=level),
    ):
        await runner.setup()
        try:
            try:
                site = web.TCPSite(runner, "127.0.0.1", port)
                await site.start()
            except OSError as error:
                raise SettingsError(
                    "--port", f"{port} can't be listened on ({error.strerror}): name another"
                ) from None
            door.port = runner.addresses[0][1]
            note_server(folder, {"port": door.port, "process": os.getpid()})
            address = f"http://127.0.0.1:{door.port}/"
            if opens or door.lets_in_by_link:
                address += f"enter?token={new_link(folder)}"
            typer.echo(f"Open {address}\nCtrl-C ends it: what is under way is finished and noted.")
            if opens:
                webbrowser.open(address)
            ended = asyncio.Event()
            with draining(ended.is_set, ended.set):
                await ended.wait()
                await server.drain()
        finally:
            await runner.cleanup()
            (folder / ".server").unlink(missing_ok=True)
    return 0
