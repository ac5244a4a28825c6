"""Makes the README's pictures again: `python tests/make_pictures.py samples`.

They show the workbook of results and the report of a run of samples/leads.csv, by LibreOffice and Chromium, and the
plan of samples/leads.xlsx on the page, by Chromium with Playwright (`make .venv/.browsed`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import FAST, SAMPLES, Shell, sandbox_process, shell_for

PICTURES = ("results.png", "report.png", "page.png")


def program(*names: str) -> str:
    """The first of these that this machine has. Ends with a word on what is missing."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or sys.exit(f"No pictures were made: this machine has no {' or '.join(names)}.")


def make_pictures(place: Path) -> None:
    """Write them into `place`."""
    office, browser = program("soffice", "libreoffice"), program("chromium", "chromium-browser", "google-chrome")
    to_text, to_picture = program("pdftotext"), program("pdftoppm")
    with (
        tempfile.TemporaryDirectory(prefix="leads-") as name,
        sandbox_process("--limit", FAST, "--latency", "5ms", "--processing", "50ms") as sandbox,
    ):
        folder = Path(name)
        shutil.copy(SAMPLES / "leads.csv", folder)
        shell = shell_for(sandbox, folder)
        shell.run("run", "leads.csv", "--yes")
        shell.run("results", "leads.csv", "-o", "results.xlsx")
        shell.run("report", "leads.csv", "-o", "report.html")

        def call(*command: str) -> str:
            return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

        # A profile of its own: an office that is open elsewhere would be asked, and write nothing.
        own = f"-env:UserInstallation={folder.as_uri()}/office"
        call(office, own, "--headless", "--convert-to", "pdf", "results.xlsx")
        pages = call(to_text, "-layout", "results.pdf", "-").split("\f")
        failures = str(next(number for number, text in enumerate(pages, 1) if "LeadSquared Said" in text))
        part = ("-f", failures, "-singlefile", "-r", "96", "-y", "36", "-H", "260")
        call(to_picture, *part, "-png", "results.pdf", "results")
        look = ("--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=900,378")
        call(browser, *look, "--screenshot=report.png", (folder / "report.html").as_uri())
        picture_page(shell, browser, folder / "page.png")
        for picture in PICTURES:
            shutil.copy(folder / picture, place)


def picture_page(shell: Shell, browser: str, picture: Path) -> None:
    """Use the page until there is a plan, and take a picture of that."""
    from playwright.sync_api import sync_playwright

    with (
        shell.start("serve", "--no-open", "--port", "0") as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]) as chromium,
    ):
        assert server.stdout is not None
        page = chromium.new_page(viewport={"width": 1040, "height": 640})
        page.goto(server.stdout.readline().split()[1])
        page.get_by_label("Choose a workbook").set_input_files(SAMPLES / "leads.xlsx")
        page.get_by_role("button", name="Read this sheet").click()
        page.get_by_label("Activity type").fill("201")
        page.get_by_label("How long").fill("7d")
        page.get_by_role("button", name="Plan it").click()
        page.get_by_role("heading", name="Approve").wait_for()
        page.screenshot(path=picture)
        server.terminate()


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))
