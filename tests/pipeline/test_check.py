"""The check: what is wrong is named with node, place and cure; no graph that passes can teach a network its test."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.repository import REPOSITORY

from flows.components.registry import COMPONENTS
from tasks.errors import PipelineError
from tasks.pipeline.check import Problem, check, refuse
from tasks.pipeline.component import Component
from tasks.pipeline.defaults import resolved, tidied
from tasks.pipeline.document import Document, Node
from tasks.pipeline.graph import after, before, circle, ordered, sources_of
from tasks.pipeline.ports import PORTS, reason
from tasks.pipeline.way import components_between

TEMPLATES = sorted((REPOSITORY / "deployments" / "pipelines").glob("*.yaml"))
MAIN_JOB = (REPOSITORY / "deployments" / "pipelines" / "main-job.yaml").read_text()
FIGURES = {"Findings", "Evaluation", "Comparison", "Decision", "Report", "Scores", "Predictions"}


def problems(text: str) -> list[Problem]:
    """What the check says of a YAML text."""
    return list(check(Document.read(text), COMPONENTS))


def only(text: str) -> Problem:
    """The one problem of a text."""
    found = problems(text)
    assert len(found) == 1, [str(one) for one in found]
    return found[0]


def changed(old: str, new: str) -> str:
    """The main job with one thing changed."""
    assert MAIN_JOB.count(old) >= 1, old
    return MAIN_JOB.replace(old, new, 1)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_are_well_and_written_as_they_are_kept(path: Path) -> None:
    document = Document.read(path.read_text(), path.name)
    assert document.name == path.stem
    assert check(document, COMPONENTS) == ()
    assert tidied(document, COMPONENTS).write() == path.read_text()
    assert tidied(resolved(document, COMPONENTS), COMPONENTS).digest == document.digest
    assert document.layout.keys() == document.nodes.keys()


def test_the_templates_are_those_that_are_told_of() -> None:
    assert [path.stem for path in TEMPLATES] == [
        *("as-in-azure", "label-and-retrain", "main-job", "score-a-store", "search", "two-networks"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "node", "place", "what", "cure"),
    [
        ("train@1", "trane@1", "trained", "is", "no component trane", "did you mean train"),
        ("train@1", "boost@1", "trained", "is", "no component boost", "lightbox pipeline components"),
        ("train@1", "train@9", "trained", "is", "version 9 of train is not known", "use train@1"),
        ("{name: brain_mri}", "{}", "scans", "set.name", "is needed", "Name of the data set"),
        ("{name: brain_mri}", "{name: brain_mri, nam: 1}", "scans", "set.nam", "no setting nam", "mean name?"),
        ("{name: brain_mri}", "{name: no}", "scans", "set.name", "valid string", "quotes"),
        ("from: {folds: apart}", "from: {}", "trained", "from.folds", "not wired", "wire it to apart"),
        ("from: {folds: apart}", "from: {folds: scans}", "trained", "from.folds", "who is held out",
         "put Check images and Split between"),
        ("from: {folds: apart}", "from: {folds: checked}", "trained", "from.folds", "gives Catalogue",
         "put Split between"),
        ("from: {folds: apart}", "from: {folds: aparte}", "trained", "from.folds", "no node aparte",
         "did you mean apart?"),
        ("from: {folds: apart}", "from: {folds: [apart, apart]}", "trained", "from.folds", "2 nodes", "leave one"),
        ("from: {folds: apart}", "from: {folds: apart, fold: apart}", "trained", "from.fold", "no input fold",
         "folds, network"),
        ("from: {model: packed}", "from: {model: told}", "scored", "from.model", "nothing goes on", "package"),
        ("from: {predictions: scored,", "from: {predictions: packed,", "judged", "from.predictions",
         "gives Model", "put Score unseen images between"),
        ("from: {predictions: scored,", "from: {predictions: shortcuts,", "judged", "from.predictions",
         "gives Findings", "gives Predictions: score_unseen"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(old: str, new: str, node: str, place: str, what: str, cure: str) -> None:
    found = [one for one in problems(changed(old, new)) if (one.node, one.place) == (node, place)]
    assert len(found) == 1, [str(one) for one in problems(changed(old, new))]
    assert what in found[0].what
    assert cure in found[0].cure


@pytest.mark.parametrize(
    ("said", "place", "what", "cure"),
    [
        ("{epochs: 5000}", "set.epochs", "less than or equal to 1000", "(1 to 1,000)"),
        ("{epochs: many}", "set.epochs", "valid integer", "(1 to 1,000)"),
        ("{preset: quick}", "set.preset", "'fast', 'standard'", "leave it out for standard"),
        ("{compute: {driver: {kind: none, speed: 1}}}", "set.compute.driver.none.speed", "no setting speed",
         "known here are: kind"),
        ("{compute: {poll: gpu}}", "set.compute.poll", "no setting poll", "did you mean pool?"),
        ("{patience: 3}", "set", "set validation_fraction too", "leave it out"),
        ("{weights: 'https://a:b@c/w.pth'}", "set.weights", "", ""),
    ],
)  # fmt: skip
def test_settings_are_those_of_the_form(said: str, place: str, what: str, cure: str) -> None:
    text = changed("from: {folds: apart}", f"from: {{folds: apart}}\n    set: {said}")
    if not what:
        assert "a:b" not in str([str(one) for one in problems(text)])
        return
    found = only(text)
    assert (found.node, found.place) == ("trained", place)
    assert what in found.what and cure in found.cure


def test_a_setting_stands_where_it_belongs() -> None:
    found = only(changed("from: {images: scans}", "from: {images: scans}\n    set: {protocol: holdout}"))
    assert (found.place, found.cure) == ("set.protocol", "set it at Split")


def test_a_circle_is_shown() -> None:
    text = """
lightbox_pipeline: 1
name: round
nodes:
  a: {is: check_images@1, from: {images: c}}
  b: {is: split@1, from: {catalogue: a}}
  c: {is: data_set@1, set: {name: x}, from: {images: b}}
  d: {is: audit@1, from: {catalogue: a}}
"""
    found = [one for one in problems(text) if "leads back" in one.what]
    assert [one.what for one in found] == ["its own output leads back to it: a -> b -> c -> a"]
    assert "take out one of these wires" in found[0].cure
    alone = problems("lightbox_pipeline: 1\nname: x\nnodes:\n  a: {is: split@1, from: {catalogue: a}}")
    assert "a -> a" in " ".join(one.what for one in alone)


def test_two_promotions_of_one_model_are_refused_and_of_two_are_not() -> None:
    more = MAIN_JOB.replace(
        "layout:",
        "  again:\n    is: promote@1\n    from: {version: version, decision: good, report: page}\nlayout:",
    )
    found = only(more)
    assert found.node == "again" and "served does the same for the model brain_mri" in found.what
    assert "keep one Promote" in found.cure
    nodes = yaml.safe_load(MAIN_JOB)["nodes"]
    other = {
        f"other_{name}": {
            **node,
            "from": {key: f"other_{source}" for key, source in node.get("from", {}).items()},
            **({"set": {"name": "brain_ct"}} if name == "scans" else {}),
        }
        for name, node in nodes.items()
    }
    both = Document.model_validate({"lightbox_pipeline": 1, "name": "both", "nodes": nodes | other})
    assert check(both, COMPONENTS) == ()


def test_inputs_of_one_node_stand_on_the_same() -> None:
    second = """
  judged_2:
    is: evaluate@1
    from: {predictions: scored, findings: shortcuts}
    set: {recall_target: 0.8}
  good_2:
    is: gate@1
    from: {evaluation: judged_2}
layout:"""
    text = MAIN_JOB.replace("\nlayout:", second).replace("decision: good, report", "decision: good_2, report")
    found = problems(text)
    assert [one.node for one in found] == ["served", "told"]
    assert "version on judged, decision on judged_2" in found[0].what
    recipe = """
  apart_2:
    is: split@1
    from: {catalogue: checked}
  found:
    is: search@1
    from: {folds: apart_2}
layout:"""
    text = MAIN_JOB.replace("\nlayout:", recipe).replace("{folds: apart}", "{folds: apart, recipe: found}")
    assert "folds on apart, recipe on apart_2" in only(text).what


def test_what_is_wired_is_not_set_too() -> None:
    network = "\n  net:\n    is: densenet@1\nlayout:"
    text = MAIN_JOB.replace("\nlayout:", network).replace(
        "{folds: apart}", "{folds: apart, network: net}\n    set: {backbone: resnet18}"
    )
    found = only(text)
    assert (found.node, found.place) == ("trained", "set.backbone")
    assert "leave out backbone, or the wire to network" in found.cure


def test_all_problems_are_told_at_once_and_many_are_counted() -> None:
    assert only("lightbox_pipeline: 1\nname: x").what == "there is no node"
    nodes = "".join(f"  n{k}: {{is: nothing@1}}\n" for k in range(25))
    found = check(Document.read(f"lightbox_pipeline: 1\nname: x\nnodes:\n{nodes}"), COMPONENTS)
    with pytest.raises(PipelineError, match="n0: is: there is no component nothing") as caught:
        refuse(found, "x")
    assert "and 5 more" in caught.value.message
    refuse((), "x")


@pytest.mark.parametrize("given_type", PORTS)
@pytest.mark.parametrize("wanted", PORTS)
def test_every_wire_that_does_not_fit_is_refused_with_a_reason(given_type: str, wanted: str) -> None:
    """For every component that gives the one and every input that wants the other."""
    givers = [one for one in COMPONENTS.values() if one.output == given_type]
    takers = [one for one in COMPONENTS.values() if any(port.type == wanted for port in one.inputs)]
    assert givers, given_type
    for giver in givers:
        for taker in takers:
            port = next(port for port in taker.inputs if port.type == wanted)
            document = Document.model_validate(
                {
                    "lightbox_pipeline": 1,
                    "name": "two",
                    "nodes": {"a": {"is": giver.ref}, "b": {"is": taker.ref, "from": {port.name: "a"}}},
                }
            )
            found = [
                one
                for one in check(document, COMPONENTS)
                if (one.node, one.place) == ("b", f"from.{port.name}")
            ]
            assert len(found) == (given_type != wanted)
            for one in found:
                assert reason(giver.output or "Images", port.type) in one.what
                assert one.cure
                for ref in one.insert:
                    assert COMPONENTS[ref].title in one.cure


def test_the_missing_components_fit_one_after_the_other() -> None:
    assert components_between("Images", "Folds", COMPONENTS) == ("check_images@1", "split@1")
    assert components_between("Scores", "Predictions", COMPONENTS) == ()
    assert components_between("Evaluation", "Recipe", COMPONENTS) == ()


@st.composite
def graphs(draw: st.DrawFn) -> Document:
    """Documents of random components, most wires of which fit."""
    nodes: dict[str, Node] = {}
    for number in range(draw(st.integers(1, 14))):
        component: Component = draw(st.sampled_from(list(COMPONENTS.values())))
        sources = {}
        for port in component.inputs:
            fitting = [name for name, node in nodes.items() if COMPONENTS[node.component].output == port.type]
            loose = draw(st.integers(0, 9)) == 0
            some = [*nodes] if loose or not fitting else fitting
            if some and (port.needed or draw(st.booleans())):
                sources[port.name] = draw(st.sampled_from(some))
        said = {"name": draw(st.sampled_from(["a", "b"]))} if component.names_model else {}
        nodes[f"n{number}"] = Node.model_validate({"is": component.ref, "from": sources, "set": said})
    if nodes and draw(st.integers(0, 9)) == 0:
        first, source = next(iter(nodes)), draw(st.sampled_from([*nodes]))
        inputs = {"images": source, "folds": source}
        nodes[first] = Node.model_validate({"is": nodes[first].component, "from": inputs})
    return Document(lightbox_pipeline=1, name="any", nodes=nodes)


@settings(max_examples=300)
@given(graphs())
def test_no_graph_that_passes_leads_figures_or_unheld_images_into_a_training(document: Document) -> None:
    found = check(document, COMPONENTS)
    for one in found:
        assert one.node is None or one.node in document.nodes
        assert one.what and one.cure
    if found:
        return
    assert circle(document) == () and set(ordered(document)) == set(document.nodes)
    for name, node in document.nodes.items():
        above = {document.nodes[other].kind for other in before(document, [name])} - {node.kind}
        outputs = {COMPONENTS[document.nodes[other].component].output for other in before(document, [name])}
        if node.kind in {"train", "search"}:
            assert "split" in above
            assert not (outputs - {COMPONENTS[node.component].output}) & FIGURES
        if node.kind == "evaluate":
            assert {"score_unseen", "package", "train", "split", "check_images"} <= above
        if node.kind == "promote":
            assert {"gate", "evaluate"} <= above
            assert (
                len([other for other in before(document, [name]) if document.nodes[other].kind == "evaluate"])
                == 1
            )


@settings(max_examples=100)
@given(graphs(), st.data())
def test_the_order_of_a_graph(document: Document, data: st.DataObject) -> None:
    order = ordered(document)
    for name in order:
        assert all(order.index(source) < order.index(name) for source in sources_of(document)[name])
    assert (circle(document) == ()) == (set(order) == set(document.nodes))
    one = data.draw(st.sampled_from([*document.nodes]))
    assert {other for other in document.nodes if one in before(document, [other])} == after(document, [one])
