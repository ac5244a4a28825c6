"""The command that serves the page. Heavy imports are inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from batch_share.cli.options import Given, takes
from batch_share.errors import SettingsError

if TYPE_CHECKING:
    from batch_share.page.door import Door
    from batch_share.settings import Settings


@takes("account", "set", "verbose")
def serve(
    given: Given,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8765,
    folder: Annotated[
        Optional[Path], typer.Option(help="Where sheets and ledgers are kept. Default: in the data folder.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Don't open the browser.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Print one more link to the page that is served.")] = False,
    behind_proxy: Annotated[
        Optional[str], typer.Option(metavar="ORIGIN", help="A proxy logs people in, and is opened at this address.")
    ] = None,
    user_header: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="The header in which the proxy says who it is.")
    ] = None,
) -> int:
    """Serve a page to share sheets in a browser, until Ctrl-C.

    It prints a link that lets one browser in, once. Only this machine can reach it, or a proxy on it.

    Example: batch-share serve
    """
    import asyncio

    from batch_share.page.door import Door, new_link, origin_of, server_of

    settings = given.settings()
    place = folder if folder is not None else settings.data_folder / "page"
    if user_header is not None and behind_proxy is None:
        raise SettingsError(
            "--user-header",
            "it is the proxy that says who it is: give --behind-proxy too",
            problem="Who a user is, only a proxy says, and none was named.",
        )
    if settings.two_people and user_header is None:
        raise SettingsError(
            "two_people",
            "nobody can be told from another: give --behind-proxy and --user-header",
            problem="Two people are wanted, and nobody can be told from another without a proxy that names users.",
        )
    if link:
        if not (port_ := server_of(place).get("port")):
            raise SettingsError(
                "--link",
                "nobody serves this folder: start `batch-share serve` first",
                problem="Nobody serves this folder.",
            )
        typer.echo(f"http://127.0.0.1:{port_}/enter?token={new_link(place)}")
        return 0
    origin = origin_of(behind_proxy) if behind_proxy is not None else None
    door = Door(place, origin, user_header)

    def with_said(**said: Any) -> Settings:
        account = said.pop("account", given["account"])
        more = [f"{name}={value}" for name, value in said.items()]
        return Given({**given, "account": account, "set": [*(given["set"] or ()), *more]}).settings()

    return asyncio.run(_serve(door, place, port, with_said, opens=not no_open and origin is None, given=given))


async def _serve(door: Door, folder: Path, port: int, settings: Any, *, opens: bool, given: Given) -> int:
    """Listen until a signal comes; what goes on is finished and noted then."""
    import asyncio
    import logging
    import webbrowser

    from batch_share.cli.work import draining
    from batch_share.logs import LineHandler, attached, open_log
    from batch_share.page.changes import WholePage
    from batch_share.page.server import listening

    in_force = settings()
    server = WholePage(folder, door, settings, two_people=in_force.two_people, store=in_force.store)
    level = logging.getLevelNamesMapping()[in_force.log_level.upper()]

    def show(line: str) -> None:
        typer.echo(line, err=True)

    with attached(
        open_log(in_force.log_folder, show), LineHandler(show) if given["verbose"] else None, level=level
    ):
        async with listening(server, port) as address:
            typer.echo(f"Open {address}\nCtrl-C ends it: what is under way is finished and noted.")
            if opens:
                webbrowser.open(address)
            ended = asyncio.Event()
            with draining(ended.is_set, ended.set):
                await ended.wait()
                await server.drain()
    return 0
