"""The explorer's Python side, against plain NumPy loops over the dense activations."""

from __future__ import annotations

import base64
import copy
import json
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import sample

from msae.explore import Bundle, Explorer, LatentActivations, address, latent_tree, read_bundle, write_bundle
from msae.explore.bundle import from_varints, schema, varints
from msae.explore.view import View
from msae.explore.writing import manifest

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


def dense_of(bundle: Bundle, k: int) -> np.ndarray:
    """(n_tokens,) activations of the k-th latent of a bundle."""
    out = np.zeros(len(bundle.tokens))
    positions, values = bundle.of(bundle.id[k])
    out[positions] = values
    return out


def check_against(bundle: Bundle, tokens: np.ndarray, seen: np.ndarray) -> None:
    """Every text of the bundle holds the tokens and the activations of the arrays; seen (n_texts, n_ctx, n_latents)."""
    for text, begin, end in zip(range(len(bundle.number)), bundle.starts, bundle.starts[1:]):
        part = slice(bundle.first[text], bundle.first[text] + end - begin)
        number = bundle.number[text]
        assert [bundle.vocab_ids[k] for k in bundle.tokens[begin:end]] == tokens[number, part].tolist()
        for k in range(seen.shape[2]):
            expected, found = seen[number, part, k], dense_of(bundle, k)[begin:end]
            assert np.array_equal(found > 0, expected > 0)
            assert np.abs(found - expected).max(initial=0) <= seen[..., k].max() / 255


@given(st.integers(0, 10_000), st.sampled_from([0, 1, 3, 64]))
@settings(max_examples=20, deadline=None)
def test_a_bundle_holds_every_text_and_comes_back_from_the_disk(seed, latents_per_shard):
    tokens, acts, mask = sample(seed)
    bundle = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE, labels={2: "é</script>"}).bundle()
    assert bundle.n_sample == len(bundle.number) == len(tokens)
    assert len(bundle.tokens) == mask.sum()
    check_against(bundle, tokens, acts * mask[..., None])
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(bundle, f"{folder}/a", latents_per_shard)
        again = read_bundle(f"{folder}/a")
        for name, value in bundle._asdict().items():
            assert np.array_equal(getattr(again, name), value) if isinstance(value, np.ndarray) else getattr(again, name) == value, name
        write_bundle(again, f"{folder}/b", latents_per_shard)
        files = sorted(path.relative_to(f"{folder}/a") for path in Path(folder, "a").rglob("*.*"))
        assert len(files) == 2 + 2 * (-(-acts.shape[2] // latents_per_shard) if latents_per_shard else 0)
        for path in files:
            assert Path(folder, "a", path).read_bytes() == Path(folder, "b", path).read_bytes()
            if path.suffix == ".js":
                packed = re.fullmatch(r'msaeShard\(\d+, "(.*)"\);\n', Path(folder, "a", path).read_text())[1]
                assert base64.b64decode(packed) == Path(folder, "a", path).with_suffix(".bin").read_bytes()
        manifest = json.loads(Path(folder, "a", "manifest.json").read_bytes())
        jsonschema.Draft202012Validator(schema()).validate(manifest)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(manifest | {"n_sample": -1}, schema())


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_varints_are_read_back_byte_by_byte(numbers):
    raw, length = varints(np.array(numbers, dtype=np.int64))
    slowly, here, shift = [], 0, 0
    for byte in raw.tolist():
        here, shift = here | (byte & 127) << shift, shift + 7
        if byte < 128:
            slowly, here, shift = [*slowly, here], 0, 0
    assert slowly == numbers
    found, used = from_varints(np.append(raw, [1, 2]).astype(np.uint8), len(numbers))
    assert found.tolist() == numbers
    assert used == len(raw) == length.sum()


def test_what_is_no_bundle_is_refused_with_a_reason(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder made by Explorer.save"):
        read_bundle(tmp_path)
    write_bundle(hostile().bundle(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"n_tokens": 10**6}))
    with pytest.raises(ValueError, match="cut short"):
        read_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"schema": "other/2"}))
    with pytest.raises(ValueError, match="got 'other/2'"):
        read_bundle(tmp_path)


def page_bundle(ex: Explorer, folder: Path) -> Bundle:
    """What a page holds, read back through the format."""
    described, packed = ex._selection.page
    (folder / "manifest.json").write_text(json.dumps(described))
    (folder / "payload.bin").write_bytes(packed)
    return read_bundle(folder)


def test_a_small_page_keeps_a_random_sample_and_windows_of_strong_texts_apart(tmp_path):
    tokens, acts, mask = sample(5, n_texts=200)
    seen = acts * mask[..., None]
    ex = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE, window=8, page_bytes=9_000)
    bundle = page_bundle(ex, tmp_path)
    check_against(bundle, tokens, seen)
    assert 10 < bundle.n_sample < 100
    assert len(bundle.number) > bundle.n_sample
    for text in range(bundle.n_sample):  # whole, and not chosen for anything that happens in them
        assert bundle.starts[text + 1] - bundle.starts[text] == mask[bundle.number[text]].sum()
    assert not set(bundle.number[: bundle.n_sample]) & set(bundle.number[bundle.n_sample :])
    for k in range(acts.shape[2]):
        assert bundle.max[k] == seen[..., k].max()
        assert bundle.details[k]["n"] == (seen[..., k] > 0).sum()
        if bundle.max[k]:
            assert dense_of(bundle, k).max() == pytest.approx(bundle.max[k])  # the strongest text is here
    assert len(ex._selection.page[1]) * 4 / 3 < 9_000


def test_tokens_that_are_not_utf8_stay_visible_and_apart():
    tokens = np.array([[0, 1, 2, 1]])
    ex = Explorer({"S": LatentActivations.from_dense(np.ones((1, 4, 1)))}, tokens, [b"\xe2", b"\xe2\x82", "\xe2".encode("latin1")])
    assert ex.bundle().vocab == ["\\xe2", "\\xe2\\x82", "\\xe2"]


def family(seed: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, LatentActivations]]:
    tokens, small, mask = sample(seed, n_texts=20, n_latents=6)
    large = sample(seed + 1, n_texts=20, n_latents=10)[1]
    large[..., 3] = small[..., 2] * (tokens != 4)  # a child with holes
    dense = {"A": small * mask[..., None], "B": large * mask[..., None]}
    return tokens, dense, {name: LatentActivations.from_dense(each, mask) for name, each in dense.items()}


@pytest.mark.parametrize("metric", ["directed_cosine", "nabeshima2024"])
def test_the_tree_is_that_of_loops_over_dense_arrays(metric):
    _, dense, acts = family()
    a, b = (each.reshape(-1, each.shape[2]).astype(float) for each in dense.values())
    expected = {}
    for child in range(b.shape[1]):
        fires, scores = b[:, child] > 0, []
        for parent in range(a.shape[1]):
            length = np.linalg.norm(a[fires, parent]) * np.linalg.norm(b[:, child])
            score = a[:, parent] @ b[:, child] / length if length else 0
            if metric == "nabeshima2024":
                score *= b[:, child].max() / max(a[:, parent].max(), 1e-9)
            scores.append((-score, parent))
        expected[child] = [(f"A/{parent}", -score) for score, parent in sorted(scores)[:3] if -score >= 0.2]
    assert {edge for edge in latent_tree(acts, metric, 0.2) if acts["B"].counts[int(edge.child[2:])] >= 25} == set(
        latent_tree(acts, metric, 0.2, min_firings=25)
    )
    found = latent_tree(acts, metric=metric, threshold=0.2)
    for child, parents in expected.items():
        mine = [edge for edge in found if edge.child == f"B/{child}"]
        assert [edge.parent for edge in mine] == [parent for parent, _ in parents]
        assert np.allclose([edge.score for edge in mine], [score for _, score in parents], atol=1e-4)
    assert sum(map(len, expected.values())) == len(found) > 3


def test_several_large_saes_hang_from_the_last_smaller_one():
    sizes = {"A": 4, "B": 6, "P": 9, "M": 9}
    acts = {name: LatentActivations.from_dense(sample(seed, n_latents=n)[1]) for seed, (name, n) in enumerate(sizes.items())}
    found = latent_tree(acts, threshold=0.05)
    assert {(edge.parent[0], edge.child[0]) for edge in found} == {("A", "B"), ("B", "P"), ("B", "M")}
    alone = latent_tree({"B": acts["B"], "M": acts["M"]}, threshold=0.05)
    assert [edge for edge in found if edge.child[0] == "M"] == alone
    assert latent_tree({"M": acts["M"], "A": acts["A"]}) == []


def test_relatives_and_effects_on_logits_are_those_of_dense_arrays():
    tokens, dense, acts = family()
    rng = np.random.default_rng(0)
    directions = {"A": rng.normal(size=(6, 5)), "B": rng.normal(size=(10, 5))}
    unembed = rng.normal(size=(5, len(HOSTILE)))
    both = np.concatenate([each.reshape(-1, each.shape[2]) for each in dense.values()], 1)
    stacked = np.concatenate(list(directions.values()))
    for given_directions, rows, name in (({}, both.T, "activations"), (directions, stacked, "directions")):
        ex = Explorer(acts, tokens, HOSTILE, directions=given_directions, unembed=unembed if given_directions else None, n_neighbours=4)
        bundle = ex.bundle()
        assert bundle.about["cosine_of"] == name
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        fires = both > 0
        for k, detail in enumerate(bundle.details):
            cosine = np.where(np.arange(16) == k, -1, unit @ unit[k])
            together = np.where(np.arange(16) == k, 0, (fires & fires[:, [k]]).sum(0) / np.maximum(1, (fires | fires[:, [k]]).sum(0)))
            for found, expected, least in ((detail["cosine"], cosine, 0.1), (detail["cofiring"], together, 0.01)):
                best = [i for i in np.argsort(-expected, kind="stable")[:4] if expected[i] >= least]
                assert [i for i, _ in found] == best
                assert np.allclose([value for _, value in found], expected[best], atol=5.1e-4)
            if given_directions:
                effect = stacked[k] @ unembed - (stacked[k] @ unembed).mean()
                for token, value in detail["logits"]:
                    assert effect[bundle.vocab_ids[token]] == pytest.approx(value, rel=1e-3)
                assert bundle.vocab_ids[detail["logits"][0][0]] == effect.argmax()
                assert bundle.vocab_ids[detail["logits"][8][0]] == effect.argmin()


def test_a_page_shows_the_parents_and_children_of_what_it_opens_with(monkeypatch):
    monkeypatch.setattr("msae.explore.selection.MAX_LATENTS", 2)
    tokens, _, acts = family()
    ex = Explorer(acts, tokens, HOSTILE)
    assert ("A/2", "B/3") in [edge[:2] for edge in ex.edges]
    assert {"A/2", "B/3"} <= set(ex.latent("A/2")._selection.page[0]["latents"]["id"])
    pinned = ex.latent("A/1", pin="B/9")
    assert pinned.state == {"latent": "A/1", "pinned": "B/9", "view": "latent", "query": "", "examples": []}
    assert "B/9" in pinned._selection.page[0]["latents"]["id"]
    assert ex.tree("A/2").state["view"] == "tree"
    assert ex.search("[A/2 & !B/3]").state["query"] == "[A/2 & !B/3]"
    given = Explorer(acts, tokens, HOSTILE, edges=[("B/1", "B/2", 0.5)])
    assert given.bundle().edges == [(7, 8, 0.5)]
    several = Explorer(acts, tokens, HOSTILE, edges=[("A/0", "B/2", 0.5), ("A/1", "B/2", 0.9)], latents=["A/0", "B/2"])
    assert several.bundle().edges == []  # the best parent is not here, and the second is no substitute
    both = Explorer(acts, tokens, HOSTILE, edges=[("A/0", "B/2", 0.5), ("A/1", "B/2", 0.9)], latents=["A/0", "A/1", "B/2"])
    assert both.bundle().edges == [(1, 2, 0.9), (0, 2, 0.5)]


def test_saes_are_shown_with_their_place_directions_and_effects():
    torch = pytest.importorskip("torch")
    import msae

    tokens, _, mask = sample()
    x = torch.randn(int(mask.sum()), 6, generator=torch.Generator().manual_seed(0))
    activations = SimpleNamespace(x=x, mask=torch.from_numpy(mask), hook_name="here", tokens=torch.from_numpy(tokens), str_tokens=HOSTILE)
    saes = {}
    for seed, (name, n) in enumerate({"S": 5, "L": 12}.items()):
        torch.manual_seed(seed)
        saes[name] = msae.SAE(6, n, hook_name="here")
        saes[name].W_enc.data, saes[name].b_enc.data = torch.randn(6, n), torch.full((n,), -1.0)
    model = SimpleNamespace(W_U=torch.randn(6, len(HOSTILE)))
    explorer = Explorer.from_saes(saes, activations, model, labels={"S/1": "one"})
    assert explorer.open == "S/1"
    bundle = explorer.bundle()
    for told, (name, sae) in zip(bundle.saes, saes.items()):
        fires = sae.encode(x) > 0
        assert told == {
            "id": name, "n_latents": sae.n_latents, "n_tokens": len(x), "l0": pytest.approx(fires.sum().item() / len(x), rel=1e-3),
            "hook_name": "here", "architecture": "ReLU()",
        }  # fmt: skip
    jsonschema.validate(manifest(bundle)[0], schema())
    assert bundle.about["cosine_of"] == "directions"
    effect = saes["L"].W_dec[3] @ model.W_U
    token, most = bundle.details[5 + 3]["logits"][0]
    assert bundle.vocab_ids[token] == int(effect.argmax())
    assert most == pytest.approx((effect.max() - effect.mean()).item(), rel=1e-3)
    assert np.array_equal(explorer.dense("L/3")[mask] > 0, (saes["L"].encode(x)[:, 3] > 0).numpy())


@pytest.mark.parametrize("name", ["S", "S/2", "a.b-c_d/0", "30", "big one", "S:2", "é", "", "S/", "/S"])
def test_an_sae_may_have_the_names_that_patterns_can_say(name):
    from msae.patterns import PatternError
    from msae.patterns.matching import match

    acts = {name: SPARSE}
    try:
        match(f"[{name}/0]", TOKENS, HOSTILE, acts=acts, mask=MASK)
    except PatternError:
        with pytest.raises(ValueError, match="an SAE cannot be called"):
            Explorer(acts, TOKENS, HOSTILE)
    else:
        assert Explorer(acts, TOKENS, HOSTILE).open.startswith(f"{name}/")


def test_a_smaller_bundle_leaves_nothing_of_a_larger_one(tmp_path):
    tokens, acts, mask = sample()
    larger = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE)
    larger.save(tmp_path / "folder", latents_per_shard=2)
    smaller = Explorer({"S": LatentActivations.from_dense(acts[..., :4], mask)}, tokens, HOSTILE)
    smaller.save(tmp_path / "folder", latents_per_shard=2, provenance={"model": "mine"})
    assert sorted(path.name for path in (tmp_path / "folder" / "acts").iterdir()) == ["000.bin", "000.js", "001.bin", "001.js"]
    assert read_bundle(tmp_path / "folder").about["provenance"] == {"model": "mine"}


def test_examples_go_along_to_every_view():
    tokens, acts, mask = sample()
    explorer = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE)
    tried = explorer.search("Lily", examples={"a name": "Lily", "</script>": '"</script>"'})
    assert tried.state["examples"] == tried.latent(3).state["examples"] == [["a name", "Lily"], ["</script>", '"</script>"']]
    assert explorer.state["examples"] == []
    assert "</script>" not in Reader(tried._repr_html_()).scripts[-1]


def test_other_labels_make_another_explorer_at_the_same_view():
    tokens, acts, mask = sample()
    explorer = Explorer({"S": LatentActivations.from_dense(acts, mask)}, tokens, HOSTILE, labels={5: "five"}).latent(3, pin=4)
    named = explorer.with_labels({"S/2": "two"})
    assert (explorer.labels, named.labels) == ({"S/5": "five"}, {"S/2": "two"})
    assert explorer.view == named.view == View("S/3", "S/4")
    assert [named.bundle().label[k] for k in (2, 5)] == ["two", ""]
    assert "two" in named._repr_html_()
    assert "five" not in named._repr_html_()
    with pytest.raises(AttributeError):
        named.labels = {}
    with pytest.raises(ValueError, match="no latent 99 here"):
        named.with_labels({99: "x"})


def test_views_of_the_same_latents_share_one_page():
    explorer = hostile()
    assert explorer.latent(3).tree(2)._selection is explorer._selection
    few = Explorer(explorer.acts, explorer.tokens, explorer.str_tokens, latents=[1, 2])
    beyond = few.latent(7)
    assert few.shown == beyond.shown == ["S/1", "S/2"]
    assert beyond._selection.ids == ["S/1", "S/2", "S/7"]
    assert beyond.search()._selection is beyond._selection
    assert beyond.latent(2)._selection is few._selection


def test_an_address_is_read_back_as_it_was_meant():
    shown = dict(parse_qsl(urlsplit(address("a/index.html", "S/2/66", pin="S/3/69", query='"&#" | [S/1/2 >= 25%]')).fragment))
    assert shown == {"latent": "S/2/66", "pinned": "S/3/69", "query": '"&#" | [S/1/2 >= 25%]'}


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
    assert names.count("script") == 3
    assert not {"img", "b", "i"} & set(names)
    assert json.loads(reader.scripts[0])["vocab"].count("</script><script>alert(1)</script>") == 1
    assert "\u2028" not in reader.scripts[0]
    for tag, attributes in reader.tags:
        assert not {"src", "onerror", "onclick"} & set(attributes)
        assert tag == "link" or "href" not in attributes
    assert set(re.findall(r"https?://[^\"']*", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


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
    assert two.latent("A/8")._selection.page[0]["latents"]["id"] == ["A/2", "A/8", "B/3"]


def test_of_too_many_latents_the_most_active_are_kept(monkeypatch):
    monkeypatch.setattr("msae.explore.selection.MAX_LATENTS", 3)
    tokens, acts, mask = sample()
    sparse = LatentActivations.from_dense(acts, mask)
    best = sorted(np.argsort(-sparse.total)[:3])
    assert Explorer({"S": sparse}, tokens, HOSTILE).shown == [f"S/{i}" for i in best]


def test_three_hundred_latents_take_less_than_600_kilobytes():
    rng = np.random.default_rng(0)
    tokens = (rng.zipf(1.3, (2000, 128)) % 4096).astype(np.int64)
    n = 300
    position = np.concatenate([np.sort(rng.choice(tokens.size, 2000, replace=False)) for _ in range(n)])
    values = rng.gamma(2, 2, len(position)).astype(np.float32)
    acts = LatentActivations(np.arange(n), 2000 * np.arange(n + 1), position, values, np.ones(tokens.shape, dtype=bool))
    page = Explorer({"S": acts}, tokens, [f" word{i}" for i in range(4096)])._repr_html_()
    assert len(page.encode()) < 600_000


def test_a_page_that_is_too_large_warns_and_then_refuses(monkeypatch):
    ex = hostile()
    monkeypatch.setattr("msae.explore.showing.WARN_BYTES", 100)
    with pytest.warns(UserWarning, match="MB in the page: give fewer latents="):
        ex._repr_html_()
    monkeypatch.setattr("msae.explore.showing.REFUSE_BYTES", 100)
    with pytest.raises(ValueError, match="give fewer latents="):
        ex._repr_html_()


TOKENS, ACTS, MASK = sample()
SPARSE = LatentActivations.from_dense(ACTS, MASK)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Explorer(SPARSE, TOKENS, HOSTILE), r'for one SAE that is \{"S": acts\}'),
        (lambda: Explorer({"S": ACTS}, TOKENS, HOSTILE), r"acts\['S'\] is a ndarray: make it by Firings.of_dense"),
        (lambda: Explorer({"S": SPARSE}, TOKENS[:2], HOSTILE), r"shape \(12, 30\), but tokens have shape \(2, 30\)"),
        (lambda: Explorer({"S": SPARSE}, TOKENS * 1.0, HOSTILE), r"whole numbers"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE[:5]), r"run from 0 to 14, but str_tokens has the texts of 0 … 4"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, labels={99: "x"}), r"no latent 99 here; there are 9, from 0 to 8"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE).latent("T/3"), r"no latent 'T/3'; write it as S/7, of the SAEs S"),
        (lambda: Explorer({"S": SPARSE, "T": SPARSE}, TOKENS, HOSTILE).latent(3), r"no latent 3; write it as S/7, of the SAEs S, T"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE).save("page.htlm"), r"a file that ends in .html, got page.htlm"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, directions={"T": ACTS[0]}), r"directions must name the SAEs S, got T"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, directions={"S": ACTS[0, :3]}), r"\(at least 9, d_model\).*got shape \(3, 9\)"),
        (lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, unembed=ACTS[0]), r"unembed needs directions"),
        (
            lambda: Explorer({"S": SPARSE}, TOKENS, HOSTILE, directions={"S": ACTS[0]}, unembed=ACTS[0]),
            r"unembed must be \(d_model, n_vocab\) = \(9, 15\), got shape \(30, 9\)",
        ),
        (lambda: latent_tree({"S": SPARSE}, metric="cosine"), r"one of directed_cosine, nabeshima2024, got 'cosine'"),
        (lambda: Explorer({"30 big": SPARSE}, TOKENS, HOSTILE), r"cannot be called '30 big'.*begins with a letter"),
        (lambda: write_bundle(None, "folder", -1), r"0 \(no shards\) or positive, got -1"),
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
    assert json.loads(widget.manifest)["latents"]["id"] == hostile().shown
    widget.pinned = 5
    assert widget.pinned == "S/5"
    with pytest.raises(traitlets.TraitError):
        widget.view = "nothing"


def test_a_widget_reads_typed_text_with_the_model():
    pytest.importorskip("anywidget")
    import msae

    lm = msae.load_language_model("bundled")
    sae = msae.SAE(lm.cfg.d_model, 20)
    sae.hook_name = "blocks.2.hook_resid_pre"
    train, typed = (msae.Activations(lm, [text], hook_name=sae.hook_name, progress=False) for text in ("A cat sat.", "Lily and Sue"))
    acts = LatentActivations.from_sae(sae, train)
    ex = Explorer({"S": acts}, train.tokens, train.str_tokens)
    widget = ex.widget(lm, {"S": sae})
    assert widget.live
    widget.typed = "Lily and Sue"
    assert "".join(widget.answer["tokens"]) == "Lily and Sue"
    expected = sae.encode(typed.x.float()).detach().numpy()
    found = np.zeros_like(expected)
    for k, (places, values) in widget.answer["firings"].items():
        found[places, int(k)] = values
    assert np.allclose(found, expected, atol=1e-3)
    assert (found > 0).any()
    words = widget.answer["tokens"]
    assert widget.firings == {
        f"S/{k}": [(words[at], found[at, k]) for at in range(len(words)) if found[at, k]] for k in range(20) if found[:, k].any()
    }
    widget.typed = " "
    assert widget.firings == {}
    assert widget.answer == {}
    with pytest.raises(ValueError, match="give both or neither"):
        ex.widget(lm)
    with pytest.raises(ValueError, match="saes must name the SAEs S, got T"):
        ex.widget(lm, {"T": sae})
    with pytest.raises(ValueError, match=r"saes\['S'\] must be an SAE, got None"):
        ex.widget(lm, {"S": None})


def test_a_widget_takes_no_other_sae_than_the_one_shown_and_no_other_latent_than_there_is():
    pytest.importorskip("anywidget")
    import msae

    lm = msae.load_language_model("bundled")
    saes = {name: msae.SAE(lm.cfg.d_model, 20, hook_name="blocks.2.hook_resid_pre") for name in ("A", "B")}
    ex = Explorer.from_saes(saes, msae.Activations(lm, ["A cat sat."], hook_name="blocks.2.hook_resid_pre", progress=False))
    with pytest.raises(ValueError, match=r"saes\['A'\] is not the SAE that the explorer shows"):
        ex.widget(lm, {"A": saes["B"], "B": saes["A"]})
    with pytest.raises(ValueError, match="is not the SAE"):
        ex.widget(lm, {"A": saes["A"].prefix(19), "B": saes["B"]})
    widget = ex.widget(lm, {name: copy.deepcopy(sae).half() for name, sae in saes.items()})
    for name in ("latent", "pinned"):
        before = getattr(widget, name)
        with pytest.raises(ValueError, match="there is no latent None"):
            setattr(widget, name, None)
        assert getattr(widget, name) == before


def test_the_package_is_light_until_a_widget_is_asked_for():
    import subprocess
    import sys

    heavy = ("torch", "plotly", "anywidget", "ipywidgets", "scipy", "lark")
    code = f"import sys, msae.explore; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
