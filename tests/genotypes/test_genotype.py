import json
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest

from nni_darts.genotypes.genotype import (
    FORMATS,
    Cell,
    Edge,
    Genotype,
)

SHARED = Path(__file__).parents[3] / "shared"
PUBLISHED = SHARED / "genotypes.json"
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
SMALL_TEXT = (
    "Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 3), "
    "reduce=[('none', 1), ('skip_connect', 0)], reduce_concat=[2])"
)
RNN_TEXT = "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 3))"
SMALL = Genotype(
    (
        Cell("normal", ((Edge("skip_connect", 0), Edge("sep_conv_3x3", 1)),), (2,)),
        Cell("reduce", ((Edge("none", 1), Edge("skip_connect", 0)),), (2,)),
    )
)


def _read_shared(path):
    if not path.exists():
        pytest.skip(f"{path} is not part of the repository")
    return json.loads(path.read_text())


# Genotypes as data


def test_a_genotype_is_a_value():
    other = Genotype.parse(SMALL_TEXT)
    assert other == SMALL
    assert hash(other) == hash(SMALL)
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL
    with pytest.raises(AttributeError):
        SMALL.cells = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        SMALL.normal.kind = "reduce"  # type: ignore[misc]


def test_lists_become_tuples_and_cells_are_put_in_order():
    normal = Cell("normal", [[["skip_connect", np.int64(0)], ("sep_conv_3x3", 1)]], range(2, 3))
    assert normal == SMALL.normal
    assert isinstance(normal.nodes[0][0], Edge)
    assert type(normal.nodes[0][0].source) is int
    assert Genotype([SMALL.reduce, normal]) == SMALL


def test_lookup():
    assert SMALL["normal"] is SMALL.normal is SMALL.cells[0]
    assert SMALL["reduce"] is SMALL.reduce is SMALL.cells[1]
    recurrent = Genotype.parse(RNN_TEXT)
    assert recurrent["recurrent"] is recurrent.recurrent
    with pytest.raises(KeyError, match="no 'normal' cell, only recurrent"):
        recurrent["normal"]
    assert (SMALL.normal.num_inputs, recurrent.recurrent.num_inputs) == (2, 1)


@pytest.mark.parametrize("kinds", [(), ("normal",), ("normal", "normal"), ("normal", "recurrent")])
def test_bad_sets_of_cells(kinds):
    cell = {
        "normal": SMALL.normal,
        "recurrent": Genotype.parse(RNN_TEXT).recurrent,
    }
    with pytest.raises(ValueError, match="one normal and one reduce cell, or one recurrent"):
        Genotype(tuple(cell[kind] for kind in kinds))


def test_more_operations_where_asked_for():
    text = "Genotype(recurrent=[('swish', 0)], concat=[1])"
    with pytest.raises(ValueError, match="unknown operation in recurrent node 1: 'swish'"):
        Genotype.parse(text)
    genotype = Genotype.parse(text, operations=["swish"])
    assert genotype.recurrent.nodes == ((Edge("swish", 0),),)
    assert Genotype.from_sample(genotype.to_sample(), operations=["swish"]) == genotype
    with pytest.raises(ValueError, match="'swish'"):
        Genotype.from_sample(genotype.to_sample())


# One architecture, written in different orders


def _shuffled(genotype, seed):
    rng = random.Random(seed)
    cells = [
        Cell(c.kind, [rng.sample(n, len(n)) for n in c.nodes], rng.sample(c.concat, len(c.concat)))
        for c in genotype.cells
    ]
    return Genotype(rng.sample(cells, len(cells)))


def test_canonical_orders_edges_by_source_and_operation_and_concat_ascending():
    edges = [("skip_connect", 1), ("sep_conv_5x5", 0), ("none", 1), ("max_pool_3x3", 0)]
    genotype = Genotype((Cell("normal", [edges, edges[:2]], [3, 2]), SMALL.reduce)).canonical()
    assert genotype.normal == Cell(
        "normal", [[edges[3], edges[1], edges[2], edges[0]], [edges[1], edges[0]]], [2, 3]
    )
    assert genotype.reduce.nodes == ((Edge("skip_connect", 0), Edge("none", 1)),)
    assert genotype.canonical() == genotype


@pytest.mark.parametrize("text", [DARTS_V2, SMALL_TEXT, RNN_TEXT])
def test_the_digest_does_not_depend_on_the_order_of_writing(text):
    genotype = Genotype.parse(text)
    others = [_shuffled(genotype, seed) for seed in range(10)]
    assert {other.canonical() for other in others} == {genotype.canonical()}
    assert {other.digest for other in others} == {genotype.digest}
    assert re.fullmatch("[0-9a-f]{8}", genotype.digest)
    if text == DARTS_V2:
        assert len(set(others)) > 1


def test_the_digest_tells_architectures_apart():
    texts = [
        SMALL_TEXT,
        SMALL_TEXT.replace("('skip_connect', 0), ('sep", "('skip_connect', 1), ('sep"),
        SMALL_TEXT.replace("'sep_conv_3x3'", "'sep_conv_5x5'"),
        SMALL_TEXT.replace("normal", "x")
        .replace("reduce", "normal")
        .replace("x=", "reduce=", 1)
        .replace("x_concat", "reduce_concat"),
        RNN_TEXT,
        RNN_TEXT.replace("range(1, 3)", "[2]"),
    ]
    assert len({Genotype.parse(text).digest for text in texts}) == len(texts)


def test_the_digest_stays_as_it_is():
    # Folders and results are named by it: it must not change with a version.
    assert Genotype.parse(DARTS_V2).digest == "ea3132e2"


def test_the_digest_of_operations_of_the_users_own():
    texts = (f"Genotype(recurrent=[('{name}', 0)], concat=[1])" for name in ("swish", "gelu"))
    one, other = (Genotype.parse(text, operations=["swish", "gelu"]) for text in texts)
    assert one.canonical() == one
    assert one.digest != other.digest


# Texts


def test_published_genotypes_round_trip_in_every_format():
    for name, entry in _read_shared(PUBLISHED).items():
        genotype = Genotype.parse(json.dumps(entry))
        for style in ("json", "authors", "ptdarts"):
            text = genotype.to_text(style)
            assert "\n" not in text
            assert Genotype.parse(text) == genotype, (name, style)
            assert Genotype.parse(f"\n {name} = {text}\n" if style != "json" else f" {text}\n")
        written = json.loads(genotype.to_json())
        assert written == {k: v for k, v in entry.items() if k not in ("source", "kind")}
        concat = {cell.kind: cell.concat for cell in genotype.cells}
        if name in ("NASNet", "AmoebaNet"):
            continue
        assert Genotype.from_sample(genotype.to_sample(), concat) == genotype
        if name != "RNN_ENAS":  # whose output leaves nodes out, which a sample does not say
            assert Genotype.parse(genotype.to_text("nni")) == genotype


def test_nasnet_applies_two_operations_to_one_state_which_a_sample_cannot_say():
    entry = _read_shared(PUBLISHED)["NASNet"]
    with pytest.raises(ValueError, match="normal_3 applies both sep_conv_5x5 and sep_conv_3x3 to"):
        Genotype.parse(json.dumps(entry)).to_sample()


def test_authors_text_is_written_as_they_write_it():
    assert Genotype.parse(DARTS_V2).to_authors() == DARTS_V2
    assert Genotype.parse(RNN_TEXT).to_authors() == RNN_TEXT


def test_ptdarts_text():
    text = (
        "Genotype(normal=[[('skip_connect', 0), ('sep_conv_3x3', 1)]], normal_concat=range(2, 3), "
        "reduce=[[('none', 1), ('skip_connect', 0)]], reduce_concat=range(2, 3))"
    )
    assert Genotype.parse(text) == SMALL
    assert SMALL.to_ptdarts() == text


def test_json_text():
    assert SMALL.to_json() == (
        '{"normal": [["skip_connect", 0], ["sep_conv_3x3", 1]], "normal_concat": [2], '
        '"reduce": [["none", 1], ["skip_connect", 0]], "reduce_concat": [2]}'
    )


@pytest.mark.parametrize("count", [1, 3])
def test_nodes_of_other_numbers_of_edges(count):
    edges = [("skip_connect", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0)]
    genotype = Genotype((Cell("normal", [edges[:count], edges[:2]], [3]), SMALL.reduce))
    assert json.loads(genotype.to_json())["normal"][0] == [list(edge) for edge in edges[:count]]
    for style in ("json", "ptdarts"):
        assert Genotype.parse(genotype.to_text(style)) == genotype
    with pytest.raises(ValueError, match=rf"2 edge\(s\) in every normal node, got {count}, 2"):
        genotype.to_authors()


@pytest.mark.parametrize("concat", [[2, 4], [4, 2], [4, 3, 2], [3]])
def test_any_concat_round_trips_in_its_order(concat):
    node = [("skip_connect", 0), ("skip_connect", 1)]
    genotype = Genotype((Cell("normal", [node] * 3, concat), SMALL.reduce))
    for style in ("json", "authors", "ptdarts"):
        assert Genotype.parse(genotype.to_text(style)).normal.concat == tuple(concat)


def test_other_spellings():
    loose = SMALL_TEXT.replace("[('skip", "(('skip").replace("1)], normal", "1)), normal")
    for text in (
        loose,
        "A = " + SMALL_TEXT,
        SMALL_TEXT.replace(", ", ",\n    "),
        SMALL_TEXT + "#!",
    ):
        assert Genotype.parse(text) == SMALL
    assert Genotype.parse(RNN_TEXT.replace("range(1, 3)", "range(1, 3, 1)")).recurrent


def test_formats():
    assert {style: Genotype.parse(SMALL.to_text(style)) for style in FORMATS} == dict.fromkeys(
        FORMATS, SMALL
    )
    assert len({SMALL.to_text(style) for style in FORMATS}) == len(FORMATS)
    assert SMALL.to_text() == SMALL.to_json()
    with pytest.raises(ValueError, match="unknown format 'author'; did you mean 'authors"):
        SMALL.to_text("author")


def _with(old, new):
    assert old in SMALL_TEXT
    return SMALL_TEXT.replace(old, new)


BAD_TEXTS = {
    "empty": "",
    "blank": " \n",
    "bytes": b"Genotype()",
    "prose": "the genotype, please",
    "null byte": "Genotype(\0)",
    "surrogate": "Genotype(normal='\ud800')",
    "no fields": "Genotype()",
    "two statements": f"{SMALL_TEXT}; {SMALL_TEXT}",
    "positional": "Genotype([('relu', 0)], range(1, 2))",
    "other call": _with("Genotype", "dict"),
    "attribute": _with("Genotype", "gt.Genotype"),
    "two targets": "A = B = " + SMALL_TEXT,
    "starred": "Genotype(**{'recurrent': []})",
    "call inside": _with("range(2, 3)", "list(range(2, 3))"),
    "call with keyword": _with("range(2, 3)", "range(2, stop=3)"),
    "range of nothing": _with("range(2, 3)", "range()"),
    "range of four": _with("range(2, 3)", "range(2, 3, 1, 1)"),
    "range of text": _with("range(2, 3)", "range('2')"),
    "range step 0": _with("range(2, 3)", "range(2, 3, 0)"),
    "range step True": _with("range(2, 3)", "range(2, 3, False)"),
    "huge range": _with("range(2, 3)", "range(2, 10**12)"),
    "huge range literal": _with("range(2, 3)", "range(2, 1000000000000)"),
    "many ranges": f"Genotype(recurrent=[{'range(0, 9999), ' * 3000}], concat=[1])",
    "huge number": _with("3x3', 1)", f"3x3', 0x{'f' * 20_000})"),
    "long number": _with("3x3', 1)", f"3x3', {'9' * 20_000})"),
    "negative": _with("3x3', 1)", "3x3', -1)"),
    "f-string": _with("'sep_conv_3x3'", "f'sep_conv_{3}x3'"),
    "concatenation": _with("'sep_conv_3x3'", "'sep_conv_' + '3x3'"),
    "comprehension": _with("[2]", "[i for i in (2,)]"),
    "name": _with("'sep_conv_3x3'", "sep_conv_3x3"),
    "odd number of edges": _with(", ('sep_conv_3x3', 1)", ""),
    "flat and nested": _with("[('skip_connect', 0), ", "[[('skip_connect', 0)], "),
    "no concat": _with(", reduce_concat=[2]", ""),
    "no edges": _with("reduce=[('none', 1), ('skip_connect', 0)], ", ""),
    "normal only": SMALL_TEXT.split(", reduce=")[0] + ")",
    "unknown field": _with("reduce_concat", "reduce_concta"),
    "field twice": _with("reduce_concat=[2]", "normal_concat=[2]"),
    "three kinds": SMALL_TEXT[:-1] + ", " + RNN_TEXT.removeprefix("Genotype("),
    "unknown operation": _with("sep_conv_3x3", "sepconv_3x3"),
    "source out of range": _with("3x3', 1)", "3x3', 2)"),
    "too long": SMALL_TEXT + " " * 50_000 + "#",
    "deep list": "[" * 20_000,
    "deep closed list": "Genotype(normal=" + "[" * 150 + "]" * 150 + ")",
    "deep unary": "Genotype(normal=" + "-" * 30_000 + "1)",
    "deep not": "Genotype(normal=" + "not " * 10_000 + "x)",
    "deep attribute": "Genotype(normal=a" + ".a" * 20_000 + ")",
    "deep sum": "Genotype(normal=1" + "+1" * 20_000 + ")",
    "json array": "[1, 2]",
    "json broken": '{"normal": ',
    "json empty": "{}",
    "json number": '{"recurrent": 1, "concat": [1]}',
    "json bool": '{"recurrent": [["relu", false]], "concat": [1]}',
    "json float": '{"recurrent": [["relu", 0.0]], "concat": [1]}',
    "json null": '{"recurrent": null, "concat": [1]}',
    "json NaN": '{"recurrent": [["relu", NaN]], "concat": [1]}',
    "json object": '{"recurrent": {"relu": 0}, "concat": [1]}',
    "json long number": f'{{"recurrent": [["relu", {"9" * 20_000}]], "concat": [1]}}',
    "json field twice": '{"recurrent": [["relu", 0]], "recurrent": [["relu", 0]], "concat": [1]}',
    "json unknown field": '{"recurrent": [["relu", 0]], "concat": [1], "extra": 1}',
    "json deep": '{"recurrent": ' + "[" * 40_000,
    "json deep closed": '{"recurrent": ' + "[" * 900 + "]" * 900 + ', "concat": [1]}',
    "json sample without reduce": '{"normal_2": [0], "normal_2_0": "none"}',
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_texts_are_one_clear_line(text):
    with pytest.raises(ValueError, match=r".+") as caught:
        Genotype.parse(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown field", "unknown field 'reduce_concta'; did you mean 'reduce_concat"),
        ("no concat", "lacks 'reduce_concat'"),
        ("no edges", "lacks 'reduce'"),
        ("field twice", "given twice"),
        ("json field twice", "given twice"),
        ("huge range", "column 84: expected only lists, strings, .* got BinOp"),
        ("odd number of edges", "normal: expected 2 edges per node, got 1 edges"),
        ("too long", "at most 50000 characters, this text has 50"),
        ("json deep", "nested too deeply"),
        ("json sample without reduce", "lacks the key 'reduce_2'"),
        ("unknown operation", "did you mean 'sep_conv_3x3"),
    ],
)
def test_messages_say_what_is_wrong(name, message):
    with pytest.raises(ValueError, match=message):
        Genotype.parse(BAD_TEXTS[name])


def test_trap_21_no_eval_at_all(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("eval or exec was called")

    monkeypatch.setattr("builtins.eval", refuse)
    monkeypatch.setattr("builtins.exec", refuse)
    for style in FORMATS:
        assert Genotype.parse(SMALL.to_text(style)) == SMALL


# NNI samples

SAMPLE = {
    "normal_2": [1, 0],
    "normal_2_0": "sep_conv_3x3",
    "normal_2_1": "none",
    "normal_3": 2,  # without a list
    "normal_3_0": "skip_connect",  # was not chosen
    "normal_3_2": "max_pool_3x3",
    "reduce_2": (0,),
    "reduce_2_0": "skip_connect",
    "reduce_2_1": "an operation nobody knows",  # was not chosen
    "channels": 16,
    "normal_stem": "x",
}


def test_sample_is_read():
    genotype = Genotype.from_sample(SAMPLE)
    assert genotype.normal == Cell(
        "normal", [[("none", 1), ("sep_conv_3x3", 0)], [("max_pool_3x3", 2)]], [2, 3]
    )
    assert genotype.reduce == Cell("reduce", [[("skip_connect", 0)]], [2])
    assert Genotype.from_sample(SAMPLE, {"normal": [3]}).normal.concat == (3,)


def test_sample_is_written():
    assert SMALL.to_sample() == {
        "normal_2": [0, 1],
        "normal_2_0": "skip_connect",
        "normal_2_1": "sep_conv_3x3",
        "reduce_2": [1, 0],
        "reduce_2_1": "none",
        "reduce_2_0": "skip_connect",
    }
    assert Genotype.parse(RNN_TEXT).to_sample() == {
        "recurrent_1": [0],
        "recurrent_1_0": "relu",
        "recurrent_2": [1],
        "recurrent_2_1": "tanh",
    }


@pytest.mark.parametrize("key", ["normal_2", "normal_2_0", "normal_3_2", "reduce_2", "reduce_2_0"])
def test_missing_keys_of_a_sample_are_named(key):
    with pytest.raises(ValueError, match=f"lacks the key '{key}'"):
        Genotype.from_sample({k: v for k, v in SAMPLE.items() if k != key})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal_2": [0, 2]}, r"normal_2: expected a state index in 0\.\.1, got 2"),
        ({"normal_2": "01"}, "normal_2: expected a state index .* got '0'"),
        ({"normal_2": []}, "normal node 2: expected at least one edge"),
        ({"normal_2_0": "sepconv"}, "unknown operation in normal node 2: 'sepconv'"),
        ({"normal_2_0": 3}, "unknown operation in normal node 2: 3"),
        ({"normal_5_0": "none"}, "lacks the key 'normal_4'"),
        ({"recurrent_1": 0, "recurrent_1_0": "relu"}, "got normal, reduce, recurrent"),
    ],
)
def test_bad_samples(change, message):
    with pytest.raises(ValueError, match=message):
        Genotype.from_sample({**SAMPLE, **change})


def test_bad_concat_of_a_sample():
    with pytest.raises(ValueError, match="unknown kind of cell in concat 'norml'; did you mean"):
        Genotype.from_sample(SAMPLE, {"norml": [2]})
    with pytest.raises(ValueError, match="lacks the key 'normal_2'"):
        Genotype.from_sample({"unrelated": 1})
