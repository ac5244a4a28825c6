"""The command `doctor`: is everything here as a run needs it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from batch_share.cli.arguments import Json

if TYPE_CHECKING:
    from batch_share.jobs.findings import Finding

_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


def doctor(json: Json = False) -> None:
    """Check settings, keys, host, clock, limits and folders.

    Each line says what is well, or what to do next. It makes two calls, which change nothing. Exit code 0 if there
    is no problem, else 1.

    Example: batch-share doctor
    """
    import asyncio

    from batch_share.jobs.check_up import check_up
    from batch_share.jobs.findings import Level

    findings = asyncio.run(check_up())
    if json:
        typer.echo(_as_json(findings))
    else:
        for finding in findings:
            _show(finding)
    raise typer.Exit(any(finding.level == Level.PROBLEM for finding in findings))


def _show(finding: Finding) -> None:
    level = typer.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
    typer.echo(f"{level} {finding.check:<13}  {finding.words}")
    if finding.next:
        typer.echo(f"{'':22}  → {finding.next}")


def _as_json(findings: list[Finding]) -> str:
    import json
    from collections import Counter
    from dataclasses import asdict

    counts = Counter(str(finding.level) for finding in findings)
    checks = [asdict(finding) for finding in findings]
    return json.dumps(
        {"problems": counts["problem"], "warnings": counts["warning"], "checks": checks}, ensure_ascii=False
    )
