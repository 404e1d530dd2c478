"""The live widget in a real JupyterLab: what is chosen in the view is read in the next cell, and typed text comes back from the kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import RUN, jupyter_lab
from pages import Visit
from places import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = """\
import ipywidgets, msae, torch
from msae.explore import Explorer, LatentActivations
lm = msae.load_language_model("bundled")
read = msae.Activations(lm, ["Lily has a cat.", "Sue and Lily play."], hook_name="blocks.1.hook_resid_pre", progress=False)
torch.manual_seed(0)
sae = msae.SAE(lm.cfg.d_model, 6)
sae.hook_name = read.hook_name
acts = LatentActivations.from_sae(sae, read)
widget = Explorer({"S": acts}, read.tokens, read.str_tokens).widget(lm, {"S": sae})
choice = ipywidgets.Dropdown(options=[f"S/{k}" for k in range(6)], description="Latent")
ipywidgets.link((widget, "latent"), (choice, "value"))
ipywidgets.VBox([choice, widget])"""

READ = "print('chosen', [widget.latent, widget.pinned, widget.view])"
SET = "widget.latent = 0; widget.pinned = ''; widget.view = 'search'; widget.query = 'Lily'; print('set')"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab whose kernel is this Python, with a notebook of three cells."""
    pytest.importorskip("anywidget")
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, READ, SET)]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), tmp_path / "widget.ipynb")
    with jupyter_lab(tmp_path, "widget.ipynb") as address:
        yield address


def test_a_latent_chosen_in_the_view_is_read_in_the_next_cell(browser_page: Visit, lab: str) -> None:
    page = browser_page.page
    page.goto(lab)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.nth(2).wait_for()

    def run(k: int, wanted: str = "") -> None:
        page.evaluate(RUN, k)
        if wanted:
            cells.nth(k).locator(".jp-OutputArea-output", has_text=wanted).wait_for()

    def read(wanted: str) -> None:
        """Run the cell that prints what the kernel knows, until it is this: what the page tells the kernel may come after a run."""
        until = time.monotonic() + PATIENCE
        while True:
            run(1, "chosen")
            if cells.nth(1).locator(".jp-OutputArea-output", has_text=wanted).is_visible():
                return
            assert time.monotonic() < until, f"the kernel never knew {wanted}"
            page.wait_for_timeout(200)

    run(0)
    view = cells.nth(0).locator(".jp-OutputArea")
    view.locator(".row").first.wait_for()
    view.locator(".row", has_text="S/2").click()
    view.locator("h3", has_text="Latent S/2").wait_for()
    listed = view.locator(".widget-dropdown select")  # a control of ipywidgets around the view: both ways
    page.wait_for_function("list => list.selectedOptions[0].text === 'S/2'", arg=listed.element_handle())  # through the kernel and back
    listed.select_option("S/4")
    view.locator("h3", has_text="Latent S/4").wait_for()
    view.locator(".row", has_text="S/2").click()
    view.locator("h3", has_text="Latent S/2").wait_for()
    pinned = view.locator(".chip").first
    pinned.click()
    view.locator(".sentence").wait_for()
    status = view.locator("[role=status]").first
    assert status.text_content() == view.locator(".sentence").text_content()
    read(f"chosen ['S/2', '{pinned.locator('b').text_content()}', 'latent']")
    view.locator("textarea").fill("Sue has a dog.")
    view.get_by_role("button", name="Read it").click()
    view.locator("h4", has_text="The text you typed").wait_for()
    assert view.locator(".texts").text_content() == "Sue has a dog."
    run(2, "set")
    view.locator(".message", has_text="tokens match").wait_for()
    assert view.locator(".query textarea").input_value() == "Lily"
    assert view.locator(".row[aria-selected=true] b").text_content() == "S/0"
    read("chosen ['S/0', '', 'search']")
    view.get_by_role("tab", name="Latent").click()
    view.locator(".row", has_text="S/5").click()
    view.locator("[role=status]", has_text="Latent S/5").wait_for()  # told, though the kernel is told too
    assert browser_page.outside == []
