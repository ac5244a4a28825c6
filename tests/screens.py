"""What README and manual have their reader type, typed; and the screens that they show, as they are today.

A page is gone through from its first command to its last in one folder, with the sandbox of its reader.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import termios
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from commands import commands
from processes import DEADLINE, ROOT, SAMPLES

UNTRIED: Final = {
    "make ": "test_make_knows_its_targets",
    "pipx install": "installs for good, from a registry",
    "uv tool install": "installs for good, from a registry",
    "pip install": "installs for good, from a registry",
    "batch-share login": "needs an account and a keyring; test_login tries it",
    "batch-share logout": "needs a keyring; test_login tries it",
    "batch-share sandbox": "runs until Ctrl-C; the first one is the sandbox of these tests",
    "batch-share verify": "takes ten seconds; test_proof tries it",
    "batch-share demo": "takes half a minute; test_command_line tries it in a hurry",
}
"""Commands that are not run here, and why."""

SHELL: Final = re.compile(
    r"^```sh\n(?P<typed>.*?)^```\n(?:\n```text\n(?P<screen>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


@dataclass
class Reader:
    """Types what a page says, in `folder`, with the variables that it has exported before."""

    folder: Path
    env: dict[str, str]
    port: str
    """That of the sandbox, in place of the page's own."""
    codes: dict[str, int] = field(default_factory=dict)
    """How each command ended that was run."""

    def read(self, page: str) -> str:
        """Run all that the page says. Its text, with today's screens where it shows others."""
        return SHELL.sub(self._block, page)

    def _block(self, block: re.Match[str]) -> str:
        for line in block["typed"].splitlines():
            screen = self.type(line.partition("  #")[0].strip())
        if block["screen"] is None or alike(screen) == alike(block["screen"]):
            return block[0]
        return f"```sh\n{block['typed']}```\n\n```text\n{screen}```\n"

    def type(self, line: str) -> str:
        """Run a line, and answer yes where it asks. What its terminal shows in the end."""
        if line.startswith(tuple(UNTRIED)):
            return ""
        line = re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{self.port}", line)
        name, *words = shlex.split(line)
        if name == "export":
            variable, _, value = words[0].partition("=")
            self.env[variable] = value
            return ""
        if name != "batch-share":
            done = subprocess.run(["sh", "-c", line], cwd=self.folder, env=self.env, check=False)
            self.codes[line] = done.returncode
            return ""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (40, 80))
        terminal = dict.fromkeys(("in", "out", "err"), os.ttyname(theirs))
        # A plan says more where look-ups take a while.
        env = {**self.env, "BATCH_SHARE_RATE": "25/5s"} if words[0] == "plan" else self.env
        forks, shown = commands(), b""
        forks.ask({"arguments": words, "folder": str(self.folder), "env": env, "seconds": DEADLINE, **terminal})
        ended: Any = forks.process.stdout
        while ours in select.select([ours, ended], [], [])[0]:  # else it has ended
            shown += (said := os.read(ours, 65536))
            if b"(y/N)" in said:
                os.write(ours, b"y\n")
        self.codes[line] = forks.number()
        os.close(theirs)
        os.close(ours)
        return as_seen(shown.decode()).replace(f"{self.folder}/", "/home/you/").replace(f":{self.port}", ":8080")


def as_seen(said: str) -> str:
    """What is left on a terminal of what was written to it: lines drawn over others, without their colours."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b"):
            if token.endswith("A"):
                row -= int(token[2:-1] or 1)
            elif token.endswith("K"):
                lines[row] = ""
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    text = "\n".join(line.rstrip() for line in lines)
    return f"{text.strip()}\n"


def alike(screen: str) -> str:
    """A screen without what differs from run to run: times, Ids, ports, pace, and where lines break."""
    for pattern in (
        r"\d{1,2} [A-Z][a-z]{2} \d{4}|\d{4}-\d\d-\d\d",
        r"\d{1,2}:\d\d(:\d\d)?",
        r"\b[\d.]+ (ms|s|min|h|seconds?|minutes?|hours?)\b",
        r"\b\d+(\.\d+)+\b",  # versions, addresses
        r"\b\d+/[\d.]+s\b",
        r":\d{4,5}\b",
        r"(?<=Run Id:)\s+\w{8}|(?<=[Rr]un )[a-z2-9]{8}\b|(?<=resume )[a-z2-9]{8}\b",
        r"/home/you/|/\S*/(?=samples/)",
    ):
        screen = re.sub(pattern, "*", screen)
    return " ".join(screen.split())


def reader(folder: Path, url: str, **env: str) -> Reader:
    """One who has put the samples, and a sheet `leads.csv`, into a folder, and knows the sandbox at `url`."""
    shutil.copytree(SAMPLES, folder / "samples")
    # The last of these rows is wrong.
    rows = (SAMPLES / "leads.csv").read_text("utf-8").splitlines(keepends=True)
    (folder / "leads.csv").write_text("".join(rows[:26]), "utf-8")
    return Reader(
        folder,
        {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "TERM": "xterm",
            "PAGER": "cat",
            "BATCH_SHARE_HOST": url,
            "BATCH_SHARE_ACCESS_KEY": "sandbox-access-key",
            "BATCH_SHARE_SECRET_KEY": "sandbox-secret-key",
            "BATCH_SHARE_STATE_FOLDER": str(folder / "state"),
            "BATCH_SHARE_DATA_FOLDER": str(folder / "data"),
            "BATCH_SHARE_LOG_FOLDER": str(folder / "log"),
            **env,
        },
        url.rpartition(":")[2],
    )
