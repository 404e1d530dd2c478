"""A real JupyterLab on this machine, with a notebook in it, and the cells of that notebook as a reader uses them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from places import PATIENCE, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PANEL = """await jupyterapp.restored;
    const panel = [...jupyterapp.shell.widgets("main")].find((each) => each.context?.path.endsWith(".ipynb"));
    await Promise.all([panel.revealed, panel.sessionContext.ready]);
    jupyterapp.shell.activateById(panel.id);"""

# Not by its keys: while JupyterLab arranges the notebook it drops some, or runs the cell that it thinks is active.
RUN = f"""async (k) => {{
    {PANEL}
    panel.content.activeCellIndex = k;
    await jupyterapp.commands.execute("notebook:run-cell");
}}"""

# JupyterLab keeps no more of a long notebook in the page than is near: a cell is scrolled to, and named so that it is found.
SHOW = f"""async (k) => {{
    {PANEL}
    await panel.context.ready;
    panel.content.activeCellIndex = k;
    await panel.content.scrollToItem(k, "center");
    panel.content.widgets[k].node.dataset.place = k;
}}"""

SOURCE = f"""async (k) => {{
    {PANEL}
    return panel.content.widgets[k].model.sharedModel.source;
}}"""


class Cells:
    """The cells of the notebook that a JupyterLab shows, by their place in it."""

    def __init__(self, page: Page):
        self.page = page
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def show(self, place: int) -> Locator:
        """Scroll to a cell, and the cell."""
        self.page.evaluate(SHOW, place)
        cell = self.page.locator(f"[data-place='{place}']")
        cell.wait_for()
        return cell

    def write(self, place: int, source: str) -> None:
        """Put this in place of what a cell says, as typed."""
        self.show(place).locator(".cm-content").fill(source)
        until = time.monotonic() + PATIENCE
        while self.page.evaluate(SOURCE, place).strip() != source.strip():
            assert time.monotonic() < until, self.page.evaluate(SOURCE, place)
            self.page.wait_for_timeout(100)

    def run(self, place: int) -> None:
        """Run a cell."""
        self.page.evaluate(RUN, place)

    def printed(self, place: int, wanted: str) -> None:
        """Wait until a cell has printed this."""
        self.show(place).locator(".jp-OutputArea-output", has_text=wanted).wait_for()


def command() -> str:
    """The command: of this environment, or the one that MSAE_JUPYTERLAB names."""
    beside = Path(sys.executable).with_name("jupyter-lab")
    found = os.environ.get("MSAE_JUPYTERLAB") or (str(beside) if beside.exists() else shutil.which("jupyter-lab"))
    if not found:
        pytest.skip("no JupyterLab found: pip install jupyterlab, or name its jupyter-lab in MSAE_JUPYTERLAB")
    return found


def listening(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def jupyter_lab(folder: Path, notebook: str) -> Iterator[str]:
    """Address of a JupyterLab that shows a notebook of this folder, and whose kernel is this Python."""
    pytest.importorskip("ipykernel")
    start = command()
    kernels = folder / "data"
    install: list[Any] = [sys.executable, "-m", "ipykernel", "install", "--prefix", kernels, "--name", "python3"]
    subprocess.run(install, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    # The widget's part of JupyterLab comes from this environment, wherever JupyterLab itself is installed.
    paths = [str(kernels / "share/jupyter"), str(Path(sys.prefix) / "share/jupyter")]
    environment = os.environ | {
        "JUPYTER_PATH": os.pathsep.join(paths),
        "JUPYTER_PLATFORM_DIRS": "0",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
    }
    flags = ["--no-browser", "--allow-root", f"--port={port}", f"--IdentityProvider.token={token}", "--ServerApp.ip=127.0.0.1"]
    flags += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--ServerApp.log_level=ERROR"]
    flags += ["--LabApp.expose_app_in_browser=True"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([start, *flags], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + PATIENCE
            while not listening(port):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, "JupyterLab does not listen"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/lab/tree/{notebook}?token={token}"
        finally:
            server.terminate()
            server.wait(PATIENCE)
