"""The toy tree: exact numbers against counting, errors that name the node."""

import json

import pytest
import torch
from torch.testing import assert_close

import msae
from msae.support.origin import check_origin, differences
from msae.toy.tree import orthogonal_directions


def test_article_tree_has_an_l0_of_1_12():
    """3 · 0.15 parents + 9 · 0.15 · 0.2 children + 8 · 0.05 alone."""
    tree = msae.FeatureTree.article()
    assert tree.n_features == 20
    assert tree.l0 == pytest.approx(1.12, abs=1e-12)
    assert [tree.names[p] for p in tree.parents] == ["female", "male", "animal"]


def test_samples_follow_the_exact_probabilities():
    tree = msae.FeatureTree.article()
    n = 200_000
    features = tree.sample_features((n,), torch.Generator().manual_seed(0))
    error = (features.double().mean(0) - tree.probability).abs()
    assert (error < 5 * (tree.probability * (1 - tree.probability) / n).sqrt()).all()
    assert features.sum(1).double().mean().item() == pytest.approx(tree.l0, abs=0.02)


def test_children_need_their_parent_and_exclude_each_other():
    tree = msae.FeatureTree.article()
    features = tree.sample_features((20_000,), torch.Generator().manual_seed(1))
    for parent in tree.parents:
        children = features[:, tree.children(parent)]
        assert (children.sum(1) <= features[:, parent]).all()
        assert children.any()


def test_independent_children_may_come_together():
    tree = msae.FeatureTree.from_dict({"active_prob": 0.5, "children": [{"active_prob": 0.5}, {"active_prob": 0.5}]})
    features = tree.sample_features((50_000,), torch.Generator().manual_seed(0))
    assert (features.sum(1) == 3).double().mean().item() == pytest.approx(1 / 8, abs=0.01)
    assert tree.l0 == pytest.approx(0.5 + 2 * 0.25)


def test_inputs_are_sums_of_directions_for_one_and_for_many_seeds():
    tree = msae.FeatureTree.article()
    directions = torch.stack([orthogonal_directions(20, 24, seed) for seed in range(3)])
    x, features = tree.sample((3, 7), directions, torch.Generator().manual_seed(0))
    assert x.shape == (3, 7, 24)
    for s in range(3):
        assert_close(x[s], sum(features[s, :, i, None] * directions[s, i] for i in range(20)))
    assert_close(directions[0] @ directions[0].T, torch.eye(20), atol=1e-5, rtol=0)


def test_a_stream_resumes_where_it_stopped():
    tree = msae.FeatureTree.article()
    stream = msae.TreeStream(tree, orthogonal_directions(20, 20))
    whole = stream.batches(8, seed=3)
    for _ in range(4):
        next(whole)
    assert next(whole).equal(next(stream.batches(8, seed=3, skip=4)))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"active_prob": 1.5}, r"tree\.active_prob: 1.5 is greater than the maximum"),
        ({"children": []}, "tree: 'active_prob' is a required property"),
        (
            {"active_prob": 1, "children": [{"active_prob": 0.1}, {"active_prob": "x"}]},
            r"tree\.children\[1\]\.active_prob: 'x' is not of type 'number'",
        ),
        ({"active_prob": 1, "childs": []}, "'childs' was unexpected"),
        (
            {"active_prob": 1, "mutually_exclusive_children": True, "children": [{"active_prob": 0.2}, {"active_prob": 0.2}]},
            "tree: .* must sum to 1, got 0.4",
        ),
        ({"active_prob": 1, "is_read_out": False}, "no node is read out"),
    ],
)
def test_a_bad_tree_names_the_node(tree, words, tmp_path):
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=words):
        msae.FeatureTree.from_json(path)


def test_a_tree_saved_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "tree.json").write_text('{"active_prob": 0.5, "name": "Zoë"}', encoding="utf-8-sig")
    assert msae.FeatureTree.from_json(tmp_path / "tree.json").names == ["Zoë"]


def test_directions_must_fit():
    with pytest.raises(ValueError, match="one direction for each of 20 features, got 3"):
        msae.FeatureTree.article().sample(4, torch.eye(3))
    with pytest.raises(ValueError, match="do not fit into d_model=5"):
        orthogonal_directions(20, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_directions_of_any_precision(dtype):
    tree, directions = msae.FeatureTree.article(), (orthogonal_directions(20, 24) * 2000).to(dtype)
    x, features = tree.sample(50, directions, torch.Generator().manual_seed(0))
    assert x.dtype == torch.promote_types(dtype, torch.float32)
    assert_close(x.double(), features.double() @ directions.double(), rtol=1e-5, atol=1e-2)
    assert next(msae.TreeStream(tree, directions).batches(50, 0)).equal(x)


def test_the_origin_of_a_stream_tells_one_toy_from_another():
    tree, directions = msae.FeatureTree.article(), orthogonal_directions(20, 24)
    other_tree = msae.FeatureTree.from_dict({"active_prob": 1, "children": [{"active_prob": 0.1}] * 19})
    origin = msae.TreeStream(tree, directions).origin
    assert json.loads(json.dumps(origin)) == origin
    assert origin == msae.TreeStream(msae.FeatureTree.article(), directions.clone()).origin
    others = [
        msae.TreeStream(other_tree, directions),
        msae.TreeStream(tree, orthogonal_directions(20, 24, seed=1)),
        msae.TreeStream(tree, torch.stack([directions] * 2)),
        msae.TreeStream(tree, directions, hook_name="here"),
        msae.TreeStream(tree, directions, scale=2.0),
    ]
    for other in others:
        assert differences(origin, other.origin)
        check_origin(other.origin, other.origin, "a checkpoint", "delete it")
