"""The explorer's Python side, against plain NumPy loops over the dense activations."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msae.explore import Explorer, LatentActivations

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"quoted"',
    "'",
    "\u2028",
    "😀",
    " ",
    "\n",
    "\n\n",
    "",
    "�",
    "<!--",
    "&amp;",
    "<img src=x onerror=alert(1)>",
    " Lily",
    "\ud800",
]


def sample(
    seed: int = 0, n_texts: int = 12, n_ctx: int = 30, n_latents: int = 9, n_vocab: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tokens, activations (sparse, the last latent silent), and a mask: the first place and some padding do not count."""
    rng = np.random.default_rng(seed)
    acts = rng.gamma(2, 2, (n_texts, n_ctx, n_latents)) * (rng.random((n_texts, n_ctx, n_latents)) < 0.08)
    acts[..., -1] = 0
    mask = np.arange(n_ctx)[None] < rng.integers(2, n_ctx + 1, n_texts)[:, None]
    mask[:, 0] = False
    return rng.integers(0, n_vocab, (n_texts, n_ctx)), acts.astype(np.float32), mask


def decoded(data: dict) -> dict[str, list]:
    """What the browser sees: for each latent its windows as (text, first place, tokens, activations)."""
    stream, places, values = (
        np.frombuffer(base64.b64decode(data[key]), dtype=f"<u{size}")
        for key, size in (("tokens", data["token_bytes"]), ("fire_place", 2), ("fire_value", 2))
    )
    out: dict[str, list] = {}
    token = fire = 0
    table = data["latents"]
    for latent, largest, examples in zip(table["id"], table["max"], table["examples"]):
        out[latent] = []
        for text, first, length, firings in examples:
            acts = np.zeros(length)
            acts[places[fire : fire + firings]] = values[fire : fire + firings] / 65535 * largest
            out[latent].append((text, first, [data["vocab"][t] for t in stream[token : token + length]], acts))
            token, fire = token + length, fire + firings
    assert (token, fire) == (len(stream), len(places))
    return out


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_firings_counts_and_maxima_are_those_of_the_dense_array(seed):
    tokens, acts, mask = sample(seed)
    sparse = LatentActivations.from_dense(acts, mask)
    seen = acts * mask[..., None]
    assert sparse.n_tokens == mask.sum()
    for latent in range(acts.shape[2]):
        assert np.array_equal(sparse.dense(latent), seen[..., latent])
        assert sparse.counts[latent] == (seen[..., latent] > 0).sum()
        assert sparse.max[latent] == seen[..., latent].max()
        assert sparse.total[latent] == pytest.approx(seen[..., latent].sum(), rel=1e-5)
        expected = []
        for token in np.unique(tokens[mask]):
            here = mask & (tokens == token)
            values = seen[..., latent][here]
            if (values > 0).any():
                fired = values[values > 0].astype(float)
                expected.append((-fired.sum(), int(token), len(fired), int(here.sum()), fired.mean(), fired.max()))
        expected = sorted(expected)[:10]
        found = sparse.top_tokens(latent, tokens)
        assert [(t.token, t.n_firing, t.n) for t in found] == [e[1:4] for e in expected]
        assert np.allclose([x for t in found for x in (t.mean, t.max)], [x for e in expected for x in e[4:]])
        peaks = sorted((-seen[i, :, latent].max(), i) for i in range(len(tokens)) if seen[i, :, latent].any())
        assert [t for t, _ in sparse.top_texts(latent)] == [i for _, i in peaks][:10]
    assert np.array_equal(sparse.density, sparse.counts / mask.sum())


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_the_page_holds_the_strongest_texts_with_their_activations(seed, window, n_examples):
    tokens, acts, mask = sample(seed)
    ex = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE, window=window, n_examples=n_examples)
    pages = decoded(json.loads(ex._json()))
    for latent in range(acts.shape[2]):
        seen = acts[..., latent] * mask
        windows = pages[f"S/{latent}"]
        assert len(windows) == min(n_examples, (seen.max(1) > 0).sum())
        for text, first, words, values in windows:
            part = slice(first, first + len(words))
            assert mask[text, part].all()
            assert words == [HOSTILE[t] for t in tokens[text, part]]
            assert np.abs(values - seen[text, part]).max() <= seen.max() / 65535
            assert values.max() == pytest.approx(seen[text].max(), rel=1e-4)
            assert len(words) == min(window, mask[text].sum())


def test_encoding_in_chunks_gives_what_encoding_at_once_gives():
    torch = pytest.importorskip("torch")
    _, _, mask = sample()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(int(mask.sum()), 6, generator=generator)
    W = torch.randn(6, 11, generator=generator)
    sae = SimpleNamespace(d_model=6, n_latents=11, hook_name="here", W_enc=W, encode=lambda x: torch.relu(x @ W - 1))
    activations = SimpleNamespace(x=x.half(), mask=torch.from_numpy(mask), hook_name="here")
    dense = np.zeros((*mask.shape, 11), dtype=np.float32)
    dense[mask] = torch.relu(x.half().float() @ W - 1).numpy()
    for latents in (None, [2, 7]):
        found = LatentActivations.from_sae(sae, activations, latents=latents, chunk=17)
        assert found.latents.tolist() == (latents or list(range(11)))
        for latent in found.latents:
            assert np.allclose(found.dense(latent), dense[..., latent], atol=1e-6)
    sae.hook_name = "there"
    with pytest.raises(ValueError, match="trained at there, but these activations come from here"):
        LatentActivations.from_sae(sae, activations)
    with pytest.raises(ValueError, match="latents 0 … 10"):
        LatentActivations.from_sae(SimpleNamespace(**{**vars(sae), "hook_name": None}), activations, latents=[11])


class Reader(HTMLParser):
    """Collects the elements of a page, and the text of its scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


def hostile() -> Explorer:
    tokens, acts, mask = sample(3)
    return Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE, labels={4: "<b>bold</b> & </script>"})


def test_no_text_leaves_its_place_in_the_page(tmp_path):
    page = hostile().latent(4).save(tmp_path / "page.html", title="<i>").read_text(encoding="utf-8")
    reader = Reader(page)
    names = [tag for tag, _ in reader.tags]
    assert names.count("script") == 2
    assert not {"img", "b", "i"} & set(names)
    assert json.loads(reader.scripts[0])["vocab"].count("</script><script>alert(1)</script>") == 1
    assert "\u2028" not in reader.scripts[0]
    for _, attributes in reader.tags:
        assert not {"src", "href", "onerror", "onclick"} & set(attributes)
    assert not re.search(r"https?://", page)


def test_the_words_for_those_without_scripts_are_coloured_already():
    page = hostile().latent(4)._repr_html_()
    before = page[: page.index("<script")]
    assert "Latent S/4 (&lt;b&gt;bold&lt;/b&gt; &amp; &lt;/script&gt;) on its strongest texts" in before
    assert before.count("<p>") == 4
    assert "<mark" in before


def test_the_same_explorer_is_the_same_page_and_another_latent_another():
    assert hostile()._repr_html_() == hostile()._repr_html_()
    ids = [re.search(r'data-msae="([^"]+)"', hostile().latent(i)._repr_html_())[1] for i in (0, 1)]
    assert ids[0] != ids[1]


def test_it_opens_with_the_labelled_latent_or_the_first_that_fires():
    tokens, acts, mask = sample()
    acts[..., 0] = 0
    sparse = LatentActivations.from_dense(acts, mask)
    assert Explorer({"S": sparse}, tokens, HOSTILE).open == "S/1"
    assert Explorer({"S": sparse}, tokens, HOSTILE, labels={5: "x"}).open == "S/5"
    assert Explorer({"S": sparse}, tokens, HOSTILE, labels={5: "x"}).latent("S/0").open == "S/0"
    two = Explorer({"A": sparse, "B": sparse}, tokens, HOSTILE, latents=["B/3", "A/2"])
    assert two.shown == ["A/2", "B/3"]
    assert two.latent("A/8")._ids == ["A/2", "A/8", "B/3"]
    assert two.latent("A/8").data["latents"]["id"] == ["A/2", "A/8", "B/3"]


def test_of_too_many_latents_the_most_active_are_kept(monkeypatch):
    monkeypatch.setattr("msae.explore._explorer.MAX_LATENTS", 3)
    tokens, acts, mask = sample()
    sparse = LatentActivations.from_dense(acts, mask)
    best = sorted(np.argsort(-sparse.total)[:3])
    assert Explorer({"S": sparse}, tokens, HOSTILE).shown == [f"S/{i}" for i in best]


def test_three_hundred_latents_take_less_than_600_kilobytes():
    rng = np.random.default_rng(0)
    tokens = (rng.zipf(1.3, (2000, 128)) % 4096).astype(np.int64)
    n = 300
    column = np.repeat(np.arange(n), 2000)
    position = np.concatenate([np.sort(rng.choice(tokens.size, 2000, replace=False)) for _ in range(n)])
    acts = LatentActivations._sorted(np.arange(n), column, position, rng.gamma(2, 2, len(column)), np.ones(tokens.shape, dtype=bool))
    page = Explorer({"S": acts}, tokens, [f" word{i}" for i in range(4096)])._repr_html_()
    assert len(page.encode()) < 600_000


def test_a_page_that_is_too_large_warns_and_then_refuses(monkeypatch):
    ex = hostile()
    monkeypatch.setattr("msae.explore._explorer.WARN_BYTES", 100)
    with pytest.warns(UserWarning, match="MB in the page: give fewer latents="):
        ex._repr_html_()
    monkeypatch.setattr("msae.explore._explorer.REFUSE_BYTES", 100)
    with pytest.raises(ValueError, match="give fewer latents="):
        ex._repr_html_()


TOKENS, ACTS, MASK = sample()
SPARSE = LatentActivations.from_dense(ACTS, MASK)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LatentActivations.from_dense(ACTS[0]), r"\(n_texts, n_ctx, n_latents\), got shape \(30, 9\)"),
        (lambda: LatentActivations.from_dense(ACTS, MASK[:3]), r"mask of shape \(12, 30\).*got \(3, 30\)"),
        (lambda: LatentActivations.from_dense(-np.ones((1, 1, 1))), r"got -1.0 at text 0, place 0, latent 0"),
        (lambda: LatentActivations.from_dense(np.full((1, 1, 1), np.nan)), r"got nan at text 0"),
        (lambda: Explorer(SPARSE, TOKENS, HOSTILE), r'for one SAE that is \{"S": acts\}'),
        (lambda: Explorer({"S": ACTS}, TOKENS, HOSTILE), r"acts\['S'\] is a ndarray: make it by LatentActivations.from_dense"),
        (lambda: Explorer({"S": SPARSE}, TOKENS[:2], HOSTILE), r"shape \(12, 30\), but tokens have shape \(2, 30\)"),
        (lambda: Explorer({"S": SPARSE}, TOKENS * 1.0, HOSTILE), r"whole numbers"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE[:5]), r"run from 0 to 14, but str_tokens has the texts of 0 … 4"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, labels={99: "x"}), r"no latent 99 here; there are 9, from 0 to 8"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE).latent("T/3"), r"no latent 'T/3'; write it as S/7, of the SAEs S"),
        (lambda: Explorer({"S": SPARSE, "T": SPARSE}, TOKENS, HOSTILE).latent(3), r"no latent 3; write it as S/7, of the SAEs S, T"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE).save("folder"), r"ends in .html, got folder"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, window=0), r"at least 1, got 10 and 0"),
    ],
)
def test_bad_input_gets_one_error_that_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_widget_keeps_the_latent_and_carries_the_page():
    pytest.importorskip("anywidget")
    import traitlets

    widget = hostile().widget()
    assert widget.latent == "S/4"
    widget.latent = 2
    assert widget.latent == "S/2"
    with pytest.raises((ValueError, traitlets.TraitError), match="no latent"):
        widget.latent = 77
    assert widget.latent == "S/2"
    bundle = widget._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == hostile().latent(2)._repr_html_()
    assert json.loads(widget.data)["latents"]["id"] == hostile().shown


def test_the_package_is_light_until_a_widget_is_asked_for():
    import subprocess
    import sys

    code = "import sys, msae.explore; print([m for m in ('torch', 'plotly', 'anywidget', 'ipywidgets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
