"""The machine against what must be true of trees, and on languages whose rules are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.programs.language import EMPTY, Term, constant
from wheatstone.domains.sequences.pairs import Pair
from wheatstone.studies.logical.nsr import userdata, verbs
from wheatstone.studies.logical.nsr.abduction import Tree, abduce, deduce
from wheatstone.studies.logical.nsr.baseline import as_rows, vocabulary
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.learner import Machine, Sentence, Sentences, Settings
from wheatstone.studies.logical.nsr.parser import LEFT, RIGHT, SHIFT, Bounds, Parser, children_of
from wheatstone.studies.logical.nsr.semantics import FIRM, Evidence, Key, Meaning, Semantics
from wheatstone.studies.logical.nsr.tasks import make_task

WALK, RUN, TWICE, AND, PAREN = range(5)
NAMES = ("walk", "run", "twice", "and", "(")
ARITIES = (0, 0, 1, 2, 0)


def parses_of(sentences: list[list[int]], bounds: Bounds, seed: int = 0):
    parser = Parser(len(NAMES), seed)
    lengths = np.array([len(sentence) for sentence in sentences])
    symbols = np.zeros((len(sentences), lengths.max()), np.int64)
    for row, sentence in enumerate(sentences):
        symbols[row, : len(sentence)] = sentence
    return parser.parse(symbols, lengths, bounds, np.random.default_rng(seed), 0.3), lengths


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=40)
def test_every_parse_is_a_projective_tree_with_one_root(sentences: list[list[int]], seed: int) -> None:
    found, lengths = parses_of(sentences, Bounds.of((None,) * 5), seed)
    for row, size in enumerate(lengths):
        heads = found.heads[row, :size].tolist()
        assert heads.count(-1) == 1
        for child, head in enumerate(heads):
            at, steps = child, 0
            while heads[at] >= 0:
                at, steps = heads[at], steps + 1
                assert steps < size, "a circle"
            for between in range(min(child, head) + 1, max(child, head)) if head >= 0 else ():
                assert min(child, head) <= heads[between] <= max(child, head), "arcs cross"
        taken = found.actions[row, : 2 * size - 1].tolist()
        assert taken.count(SHIFT) == size
        assert taken.count(LEFT) + taken.count(RIGHT) == size - 1
        assert found.legal[row, np.arange(2 * size - 1), taken].all(), "a step that was not allowed"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(0, 99))
@settings(max_examples=60)
def test_a_parse_fits_exactly_when_every_word_has_its_children(sentence: list[int], seed: int) -> None:
    found, _ = parses_of([sentence], Bounds.of(ARITIES), seed)
    counts = [len(children) for children in children_of(found.heads[0].tolist())]
    assert found.fitting[0] == all(count == ARITIES[word] for count, word in zip(counts, sentence, strict=True))


def test_known_arities_leave_one_tree_where_there_is_only_one() -> None:
    found, _ = parses_of([[WALK, TWICE], [WALK, TWICE, AND, RUN]], Bounds.of(ARITIES))
    assert found.heads[0, :2].tolist() == [1, -1]
    assert found.fitting.all()
    assert found.heads[1].tolist() == [1, 2, -1, 2]


def knowing(walk: tuple[str, ...] = ("W",)) -> Semantics:
    semantics = Semantics(NAMES)
    for symbol, value in ((WALK, walk), (RUN, ("R",))):
        semantics.update([Evidence(Key(symbol, 0), (), value)] * 20)
    semantics.induce()
    return semantics


def test_deduction_computes_and_abduction_says_what_the_unknown_word_had_to_do() -> None:
    semantics, rng = knowing(), np.random.default_rng(0)
    tree = Tree([WALK, TWICE], [1, -1])
    answer = ("W", "W")
    assert deduce(tree, answer, semantics, rng) is None
    found = abduce(tree, answer, semantics, rng)
    assert found is not None
    assert found.evidence == (Evidence(Key(TWICE, 1), (("W",),), answer),)
    assert not found.is_deduced


def test_what_is_certain_is_not_overruled() -> None:
    semantics, rng = knowing(), np.random.default_rng(0)
    assert semantics.is_firm(Key(WALK, 0))
    assert FIRM < 20
    tree = Tree([WALK], [-1])
    assert deduce(tree, ("W",), semantics, rng) is not None
    assert deduce(tree, ("X",), semantics, rng) is None
    assert abduce(tree, ("X",), semantics, rng) is None


def test_abduction_finds_the_child_that_was_wrong() -> None:
    """'walk and run' gave W R; the answer S R says that walk, of which little is known, is S."""
    semantics, rng = knowing(), np.random.default_rng(0)
    walk = semantics.meanings[Key(WALK, 0)] = Meaning(0)
    walk.program, walk.likelihood = constant(("W",)), 0.6
    both = Key(AND, 2)
    semantics.meaning(both).program = type(constant(()))(2, Term("++", (Term("x"), Term("y"))))
    semantics.meaning(both).likelihood, semantics.meaning(both).support = 1.0, 40.0
    tree = Tree([WALK, AND, RUN], [1, -1, 1])
    assert tree.evaluate(semantics) == ("W", "R")
    found = abduce(tree, ("S", "R"), semantics, rng)
    assert found is not None
    assert found.evidence == (Evidence(Key(WALK, 0), (), ("S",)),)


def test_a_word_that_nobody_knows_may_have_no_value() -> None:
    semantics, rng = knowing(), np.random.default_rng(0)
    semantics.update([Evidence(Key(TWICE, 1), (("W",),), ("W", "W"))] * 9)
    semantics.update([Evidence(Key(TWICE, 1), (("R",),), ("R", "R"))] * 9)
    semantics.update([Evidence(Key(TWICE, 1), (("W", "R"),), ("W", "R", "W", "R"))] * 9)
    semantics.induce()
    tree = Tree([PAREN, WALK, TWICE], [2, 2, -1])
    assert deduce(tree, ("W", "W"), semantics, rng) is None
    found = abduce(tree, ("W", "W"), semantics, rng)
    assert found is not None
    assert Evidence(Key(PAREN, 0), (), EMPTY) in found.evidence


def test_new_evidence_halves_the_old_and_half_is_not_trusted() -> None:
    meaning = Meaning(0)
    meaning.add([((), ("A",))] * 4)
    meaning.add([((), ("B",))] * 2)
    assert meaning.cache[()] == {("A",): 2.0, ("B",): 2.0}
    assert meaning.trusted() == []
    meaning.add([((), ("B",))])
    (example,) = meaning.trusted()
    assert example.output == ("B",)
    assert example.weight == 2.0


def test_few_examples_are_discounted() -> None:
    """Two examples of one child: accuracy 1, divided by 3 * 1 / 2."""
    meaning = Meaning(1)
    meaning.program = type(constant(()))(1, Term("x"))
    meaning.add([((("A",),), ("A",)), ((("B",),), ("B",))])
    meaning.judge()
    assert meaning.likelihood == pytest.approx(1 / 1.5)
    assert not meaning.is_solved


LANGUAGE = {
    "go": "G",
    "grab": "B",
    "drop": "D",
    "softly go": "S G",
    "softly drop": "S D",
    "softly grab": "S B",
    "go again": "G G",
    "grab again": "B B",
    "drop again": "D D",
    "go then drop": "G D",
    "grab then go": "B G",
    "drop then grab": "D B",
    "go then go": "G G",
    "softly grab then go": "S B G",
    "go then grab then drop": "G B D",
    "grab again then drop": "B B D",
    "go then softly drop": "G S D",
    "drop then grab then grab": "D B B",
}
WORDS = tuple(sorted({word for sentence in LANGUAGE for word in sentence.split()}))
CHILDREN = {"again": 1, "softly": 1, "then": 2}


def taught(rounds: int) -> Machine:
    settings = Settings(rounds=20, batch=80, lr=3e-3)
    machine = Machine(WORDS, [CHILDREN.get(word, 0) for word in WORDS], settings, seed=1)
    data = sentences()
    for _ in range(rounds):
        machine.round(data)
    return machine


def sentences() -> Sentences:
    number = {word: at for at, word in enumerate(WORDS)}
    return Sentences(
        [Sentence(tuple(number[w] for w in source.split()), tuple(out.split())) for source, out in LANGUAGE.items()]
    )


def test_a_language_is_learnt_from_answers_alone_and_recombined() -> None:
    machine = taught(14)
    meanings = {WORDS[key.symbol]: str(one.program) for key, one in machine.semantics.programs().items()}
    assert meanings["again"] == "x ++ x"
    assert meanings["softly"] == "[S] ++ x"
    assert meanings["then"] == "x ++ y"
    assert meanings["grab"] == "[B]"
    (tree,) = machine.trees([[WORDS.index(word) for word in ["softly", "drop", "then", "go", "then", "grab"]]])
    assert tree.values[tree.root] == ("S", "D", "G", "B")


def test_a_machine_that_was_stored_goes_on_bit_for_bit() -> None:
    whole, half, data = taught(6), taught(3), sentences()
    other = Machine(WORDS, half.given, half.settings, seed=1)
    other.load(half.tensors(), json.loads(json.dumps(half.state())))
    for _ in range(3):
        other.round(data)
    assert json.dumps(other.state()) == json.dumps(whole.state())
    for name, tensor in whole.tensors().items():
        assert tensor.equal(other.tensors()[name]), name


@pytest.mark.parametrize("name", ["scan-length", "scan-add-jump", "scan-around-right", "pcfg-productivity", "hint"])
def test_tests_are_not_in_training(name: str) -> None:
    config = Config(task=name, n_train=1500, n_test=50, n_validation=40)  # pyright: ignore[reportArgumentType]
    task = make_task(config, np.random.default_rng(0))
    train = {sentence.symbols for sentence in task.train}
    for part in ("validation", *(task.main if name != "hint" else ("SS", "SL", "LS", "LL"))):
        assert train.isdisjoint(sentence.symbols for sentence in task.tests[part]), part
        assert len(task.tests[part]) == len(task.pairs[part])


def test_pictures_that_are_asked_are_not_those_that_are_learnt_from() -> None:
    task = make_task(Config(task="hint-images", n_train=400, n_test=20), np.random.default_rng(0))
    assert task.pictures is not None
    assert max(max(one.symbols) for one in task.train) < task.pictures.n_train
    assert min(min(one.symbols) for one in task.tests["SS"]) >= task.pictures.n_train
    assert set(task.arities) == {None}, "nobody says which picture takes arguments"


def test_exchanged_names_are_another_language_with_the_same_rule() -> None:
    plain = make_task(Config(task="scan-add-jump", n_test=30), np.random.default_rng(0))
    other = make_task(Config(task="scan-add-jump", n_test=30, relabel=True), np.random.default_rng(0))
    assert set(plain.names).isdisjoint(other.names)
    assert {word for pair in other.pairs["test"] for word in pair.source} <= set(other.names)
    sentence = other.pairs["test"][0]
    assert other.heads is not None
    assert len(other.heads(sentence.source)) == len(sentence.source)


def test_the_transformer_is_asked_for_the_answer_and_its_end() -> None:
    task = make_task(Config(n_train=50, n_test=10, max_words=3), np.random.default_rng(0))
    words = vocabulary(task, numbers=False)
    rows = as_rows([Pair(("walk", "twice"), ("I_WALK", "I_WALK"))], words, numbers=False)
    targets = [token for token in rows.targets[0].tolist() if token >= 0]
    assert targets == [words.answers["I_WALK"]] * 2 + [words.end]


def write(folder: Path, text: str) -> Path:
    path = folder / "own.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_bad_examples_name_file_place_and_word(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    few = write(tmp_path, "a\tA\nb\tB\n")
    with pytest.raises(InputError, match=r"own.tsv: 2 pairs, at least 4 are needed to learn from."):
        userdata.own_task(few, Config(task="own"), rng)
    mixed = write(tmp_path, "a\t1\nb\tB\nc\t3\nd\t4\n")
    with pytest.raises(InputError, match=r"own.tsv:2 field 'answer': the answer 'B' is a list, that of line 1 the"):
        userdata.answers_are_numbers(mixed, "auto")
    with pytest.raises(InputError, match=r"own.tsv:2 field 'answer': 'B' is not one whole number"):
        userdata.own_task(mixed, Config(task="own", numbers=True), rng)
    good = write(tmp_path, "a\tA\nb\tB\na c\tA A\nb c\tB B\n")
    asked = tmp_path / "test.tsv"
    asked.write_text("a cc\tA A\nb c\tB B\na\tA\nb\tB\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"test.tsv:1 field 'cc': is in no training sentence, .* Did you mean 'c'"):
        userdata.own_task(good, Config(task="own"), rng, test=asked)
    arities = tmp_path / "arities.json"
    arities.write_text('{"a": 0, "b": 9, "d": 1}', encoding="utf-8")
    with pytest.raises(InputError) as raised:
        userdata.load_arities(arities, ("a", "b", "c"))
    assert "field 'd': is no word of the examples." in str(raised.value)
    assert "field 'b': got 9, must be 0 to 4, or null." in str(raised.value)
    assert "field 'c': missing. Give its number of children, or null to have it found." in str(raised.value)


def test_learn_prints_programs_and_what_they_do_not_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{source}\t{out}" for source, out in LANGUAGE.items()]
    examples = write(tmp_path, "\n".join([*lines, "drop then softly grab\tQ Q"]) + "\n")
    arities = tmp_path / "arities.json"
    arities.write_text(json.dumps({word: CHILDREN.get(word, 0) for word in WORDS}), encoding="utf-8")
    run = tmp_path / "run"
    verbs.learn(examples, arities=arities, rounds=16, out=run)
    said = capsys.readouterr().out
    assert "again(x) = x ++ x" in said
    assert "then(x, y) = x ++ y" in said
    assert "Examples that these programs do not explain: 1 of 19" in said
    assert "drop then softly grab -> Q Q    the machine says D S B" in said
    verbs.explain(run, "go again")
    assert "again: G G    [again(x) = x ++ x]" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"'agan' was never learnt. Did you mean 'again'"):
        verbs.explain(run, "go agan")
    with pytest.raises(UserError, match="sentence: empty"):
        verbs.explain(run, " ")
