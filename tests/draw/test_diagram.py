"""The picture of a graph: what is in it, what it is called, what is left out, how it is laid."""

import xml.etree.ElementTree as xml

import pytest

import minigrad as mg
from minigrad import draw, nn, tensor
from minigrad.draw.layout import layout
from minigrad.errors import ArgumentError, DTypeError, GraphError
from minigrad.nn import functional as F


class VAE(nn.Module):
    """The smallest one that has every kind of node."""

    def __init__(self):
        super().__init__()
        self.mean, self.log_var = nn.Linear(6, 2), nn.Linear(6, 2)
        self.up = nn.Linear(2, 6)

    def loss(self, x):
        h = x.tanh()
        mean, log_var = self.mean(h), self.log_var(h)
        z = mg.reparameterize(mean, (0.5 * log_var).exp())
        bce = F.binary_cross_entropy_with_logits(self.up(z), x, reduction="sum")
        return bce + 0.5 * (mean.square() + log_var.expm1() - log_var).sum(), z


def picture(**options):
    model, x = VAE(), mg.rand(3, 6, generator=mg.Generator().manual_seed(0))
    loss, z = model.loss(x)
    return draw.graph(loss, {"x": x, "z": z, "loss": loss}, model, **options)


def edges(graph):
    """The arrows by the first lines of their boxes."""
    return {(graph.nodes[u].lines[0], graph.nodes[v].lines[0]) for u, v in graph.edges}


def chain(n):
    x = tensor(1.0, requires_grad=True)
    y = x
    for _ in range(n):
        y = y + 1.0
    return y


def test_names_shapes_and_kinds():
    found = {node.lines[0]: (node.kind, node.lines[1]) for node in picture().nodes}
    assert found["x"] == ("constant", "(3, 6)")
    assert found["mean.weight"] == ("parameter", "(2, 6)")
    assert found["z = reparameterize"] == ("random", "(3, 2)")
    assert found["ε"] == ("random", "(3, 2)")
    assert found["multiply 0.5"] == ("operation", "()")
    assert found["loss = add"] == ("operation", "()")
    assert found["binary_cross_entropy_with_logits"] == ("operation", "(), reduction=sum")


def test_arrows_go_from_inputs_to_outputs():
    graph = picture()
    arrows = edges(graph)
    assert ("ε", "z = reparameterize") in arrows and ("up.bias", "linear") in arrows
    assert ("x", "binary_cross_entropy_with_logits") in arrows
    assert ("binary_cross_entropy_with_logits", "loss = add") in arrows
    assert ("z = reparameterize", "ε") not in arrows
    assert all(u < v for u, v in graph.edges)


def test_a_shared_leaf_is_one_box_and_a_squared_one_one_arrow():
    w = tensor(2.0, requires_grad=True)
    graph = draw.graph((w * w) * w, {"w": w})
    assert [node.lines[0] for node in graph.nodes] == ["w", "multiply", "multiply"]
    assert graph.edges == [(0, 1), (0, 2), (1, 2)]


def test_a_leaf_alone_and_several_outputs():
    w = tensor([2.0], requires_grad=True)
    assert draw.graph(w).nodes[0].lines == ("leaf", "(1,)")
    graph = draw.graph([w.exp(), w.sin()])
    assert edges(graph) == {("leaf", "exp"), ("leaf", "sin")}


def test_the_middle_of_a_long_chain_is_folded():
    graph = draw.graph(chain(40))
    kinds = [node.kind for node in graph.nodes]
    assert kinds == ["parameter", *["operation"] * 3, "folded", *["operation"] * 3]
    assert graph.nodes[4].lines == ("… 34 operations", "34 add")
    assert graph.edges == [(i, i + 1) for i in range(7)]
    assert all(node.kind != "folded" for node in draw.graph(chain(16)).nodes)


def test_a_chain_is_folded_with_the_leaves_at_its_side_and_counted():
    layers = nn.Sequential(*(part for _ in range(15) for part in (nn.Linear(2, 2), nn.Tanh())))
    graph = draw.graph(layers(mg.ones(1, 2)), module=layers)
    (folded,) = [node for node in graph.nodes if node.kind == "folded"]
    assert folded.lines == ("… 24 operations", "12 tanh, 12 linear", "leaves: 24")


def test_a_branch_is_not_folded_into_a_chain():
    h = chain(20)
    graph = draw.graph(h * h.sin())
    assert [node.lines[0] for node in graph.nodes][-3:] == ["add 1", "sin", "multiply"]


def test_of_a_wide_graph_the_last_operations_are_drawn_and_the_rest_counted():
    x = tensor(1.0, requires_grad=True)
    total = x
    for k in range(300):
        total = total + x * float(k)
    graph = draw.graph(total, max_nodes=50)
    assert 45 <= len(graph.nodes) <= 50
    (folded,) = [node for node in graph.nodes if node.kind == "folded"]
    shown = sum(node.kind == "operation" for node in graph.nodes)
    assert folded.lines[0] == f"… {600 - shown} operations"


def test_a_chain_of_100_000_operations():
    y = chain(100_000)
    graph = draw.graph(y)
    assert graph.nodes[4].lines[0] == "… 99,994 operations" and len(graph.svg) < 5_000
    assert draw.backward_steps(y, limit=3).endswith("… and 99,997 more steps")


def test_the_picture_is_well_formed_and_has_all_texts():
    graph = picture()
    root = xml.fromstring(graph.svg)
    space = "{http://www.w3.org/2000/svg}"
    texts = {text.text for text in root.iter(f"{space}text")}
    assert {line for node in graph.nodes for line in node.lines} == texts
    dashed = [rect for rect in root.iter(f"{space}rect") if rect.get("class") == "random"]
    assert len(dashed) == 2
    assert len(list(root.findall(f"{space}path"))) == len(graph.edges)
    assert graph._repr_svg_() == graph.svg


def test_texts_are_escaped():
    x = tensor(2.0, requires_grad=True)
    graph = draw.graph(x.exp(), {'a<b>"&\\': x})
    assert 'a<b>"&\\' in {text.text for text in xml.fromstring(graph.svg).iter() if text.text}
    assert r'0 [label="a<b>\"&\\\n()", shape=box' in graph.dot


def test_dot():
    x = tensor(2.0, requires_grad=True)
    lines = draw.graph(x.exp(), {"x": x}).dot.splitlines()
    assert lines[0] == "digraph {" and lines[-1] == "}" and "  0 -> 1" in lines
    assert 'style="rounded,filled,dashed"' in picture().dot


def test_files(tmp_path):
    graph = draw.graph(chain(1))
    graph.save(tmp_path / "g.svg")
    graph.save(tmp_path / "g.dot")
    assert (tmp_path / "g.svg").read_text("utf-8") == graph.svg
    assert (tmp_path / "g.dot").read_text("utf-8") == graph.dot
    with pytest.raises(ArgumentError, match=r"save: path: got '.*g.png'; expected .svg or .dot"):
        graph.save(tmp_path / "g.png")


def test_what_cannot_be_drawn():
    y = chain(2)
    y.backward()
    with pytest.raises(GraphError, match="freed by an earlier sweep"):
        draw.graph(y)
    with pytest.raises(ArgumentError, match="max_nodes: got 0; expected at least 1"):
        draw.graph(chain(1), max_nodes=0)


# ---------------------------------------------------------------- the layout


def test_boxes_do_not_overlap_and_arrows_point_down():
    graph = picture()
    sizes = [(40.0 + 7 * (i % 5), 20.0 + i % 3) for i in range(len(graph.nodes))]
    found = layout(sizes, graph.edges)
    boxes = list(zip(found.centres, sizes, strict=True))
    for i, ((x, y), (w, h)) in enumerate(boxes):
        assert w / 2 - 1e-6 <= x <= found.size[0] - w / 2 + 1e-6
        assert h / 2 - 1e-6 <= y <= found.size[1] - h / 2 + 1e-6
        for (x2, y2), (w2, h2) in boxes[:i]:
            assert abs(x - x2) >= (w + w2) / 2 + 10 or abs(y - y2) >= (h + h2) / 2 + 10
    for (u, v), route in zip(graph.edges, found.routes, strict=True):
        heights = [y for _, y in route]
        assert heights == sorted(heights) and len(set(heights)) == len(heights)
        assert heights[0] == pytest.approx(found.centres[u][1] + sizes[u][1] / 2)
        assert heights[-1] == pytest.approx(found.centres[v][1] - sizes[v][1] / 2)


def test_a_tree_is_drawn_without_crossings_and_a_chain_straight():
    tree = [(2 * k, k + 100) for k in range(4)] + [(2 * k + 1, k + 100) for k in range(4)]
    edges = [(u, 8 + v - 100) for u, v in tree] + [(8, 12), (9, 12), (10, 13), (11, 13)]
    x = [at for at, _ in layout([(10.0, 10.0)] * 14, edges).centres]
    pairs = sorted((x[8 + k], sorted((x[2 * k], x[2 * k + 1]))) for k in range(4))
    ends = [at for _, pair in pairs for at in pair]
    assert ends == sorted(ends)
    straight = layout([(10.0, 10.0)] * 5, [(i, i + 1) for i in range(4)])
    assert len({round(at, 6) for at, _ in straight.centres}) == 1


def test_boxes_are_reordered_until_arrows_do_not_cross():
    """0 and 2 share 4, which therefore stands between them and the rest of what hangs on 2."""
    edges = [(0, 4), (2, 3), (2, 4), (2, 5)]
    x = [at for at, _ in layout([(10.0, 10.0)] * 6, edges).centres]
    pairs = [(a, b) for a in edges for b in edges if a < b]
    assert all((x[a] - x[b]) * (x[c] - x[d]) >= 0 for (a, c), (b, d) in pairs)


def test_outputs_may_be_the_values_of_a_mapping():
    x = tensor(1.0, requires_grad=True)
    losses = {"a": x.exp(), "b": x.sin()}
    assert draw.graph(losses.values()).edges == draw.graph([*losses.values()]).edges


def test_what_is_no_tensor_is_refused():
    """A model's loss may be a mapping of tensors, and a loop over that gives names."""
    for outputs, kinds in (
        ({"loss": tensor(1.0)}, "str"),
        (3, "int"),
        ([tensor(1.0), 2], "Tensor, int"),
    ):
        with pytest.raises(DTypeError, match=f"graph: got {kinds}; expected tensors"):
            draw.graph(outputs)
