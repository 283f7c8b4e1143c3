"""The study: arms share what they must, checks can fail, trainings resume, and the verbs work on a user's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Circuit
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task, perform
from wheatstone.domains.data import data_folder
from wheatstone.domains.lm import load_model
from wheatstone.interp.transcoders.anatomy import anatomy_of
from wheatstone.interp.transcoders.dictionary import DictionaryConfig, random_dictionary
from wheatstone.interp.transcoders.files import CONFIG, load_dictionary, save_dictionary
from wheatstone.interp.transcoders.frozen import freeze
from wheatstone.interp.transcoders.graph import FeatureGraph
from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.own import save_own
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.studies.neural.transcoders import checks, study, verbs
from wheatstone.studies.neural.transcoders.config import Config
from wheatstone.studies.neural.transcoders.exhibits import graph_picture
from wheatstone.studies.neural.transcoders.greater_than import greater_than, prompts_of
from wheatstone.studies.neural.transcoders.pages import cards_page, graph_page
from wheatstone.studies.neural.transcoders.source import Source, direction, load_source, parse_target
from wheatstone.studies.neural.transcoders.subject import shuffled, small_model, subject_of

STORIES = data_folder() / "lm" / "stories260K.bin"
TINY = dataclasses.replace(study.SMOKE, steps=12)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEATSTONE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of a few kinds of arm."""
    arms = ("transcoder", "untrained")
    made = Run.create(tmp_path_factory.mktemp("tc") / "run", study.STUDY, "smoke", TINY, (0,), arms, 1)
    for arm in arms:
        perform(made, study.STUDY, Task(arm, 0), lambda *_: None)
    return made


def measured(tmp_path: Path, **changes: object) -> dict[str, float]:
    """The measures of one trial of the small model."""
    config = dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]
    made = Run.create(tmp_path / "run", study.STUDY, "smoke", config, (0,), ("transcoder",), 1)
    perform(made, study.STUDY, Task("transcoder", 0), lambda *_: None)
    found = made.trial("transcoder", 0).measures()
    assert found is not None
    return found


def test_every_arm_is_a_valid_config_and_stays_in_its_model() -> None:
    cpu = study.STUDY.presets["cpu"].config
    for arm in study.ARMS:
        config = study.STUDY.arm_config(cpu, arm.name)
        assert isinstance(config, Config)
        for level in config.level_values:
            config.dictionary(64, level)
        depth = 30 if config.model == "smollm2" else 5
        assert config.layer_numbers(depth)
    sae, transcoder = (study.STUDY.arm_config(cpu, arm) for arm in ("sae", "layer_2"))
    assert dataclasses.replace(sae, kind="transcoder", neurons=True) == transcoder  # matched but for what is read


def test_an_untrained_dictionary_recovers_less_and_circuits_add_up(run: Run) -> None:
    trained, untrained = (run.trial(arm, 0).measures() or {} for arm in ("transcoder", "untrained"))
    assert trained["worst_recovered"] > untrained["worst_recovered"]
    assert trained["ce_original"] == untrained["ce_original"]
    assert trained["completeness"] < 1e-4
    assert trained["without_errors"] > 1e-2
    assert trained["weight_error"] < 1e-6
    assert trained["l0"] <= 4


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "sae"},
        {"skip": True, "layers": "1"},
        {"activation": "batchtopk", "layers": "0"},
        {"activation": "jumprelu", "layers": "0"},
        {"activation": "relu", "levels": "0.01", "layers": "0"},
        {"random_weights": True, "layers": "0", "levels": "4,2", "neurons": True},
        {"subject": "planted", "levels": "4"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_kind_of_arm_runs(changes: dict[str, object], tmp_path: Path) -> None:
    found = measured(tmp_path, **changes)
    if changes.get("subject") == "planted":
        assert 0 < found["planted_cosine"] <= 1
        return
    assert found["ce_original"] < found["ce_zero"]
    if changes.get("neurons"):
        assert found["neurons_recovered"] == found["neurons_recovered"]


def test_a_killed_training_goes_on_to_the_same_dictionaries(run: Run, tmp_path: Path) -> None:
    class Stopped(Exception):  # noqa: N818
        pass

    class Stopping(Trial[Config]):
        saves = 0

        def save_checkpoint(self, tensors, state) -> None:  # type: ignore[no-untyped-def]
            super().save_checkpoint(tensors, state)
            Stopping.saves += 1
            if Stopping.saves == 3:  # half-way through the second dictionary
                raise Stopped

    made = Run.create(tmp_path / "run", study.STUDY, "smoke", TINY, (0,), ("transcoder",), 1)
    with pytest.raises(Stopped):
        perform(made, study.STUDY, Task("transcoder", 0), lambda *_: None, Stopping)
    perform(made, study.STUDY, Task("transcoder", 0), lambda *_: None)
    before, after = (one.trial("transcoder", 0) for one in (run, made))
    assert before.measures() == after.measures()
    first, second = before.tensors("dictionaries"), after.tensors("dictionaries")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_held_out_samples_stay_when_there_is_more_to_train_on() -> None:
    few, more = (subject_of(dataclasses.replace(TINY, tokens=tokens), 7) for tokens in (400, 800))
    assert torch.equal(few.rows.held_out, more.rows.held_out)
    assert len(more.rows.train) > len(few.rows.train)


def test_shuffled_weights_are_the_same_numbers_in_another_order() -> None:
    model = small_model()
    mixed = shuffled(model)
    for (name, one), (_, other) in zip(model.model.state_dict().items(), mixed.model.state_dict().items(), strict=True):
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values), name
    assert not torch.allclose(model.model.embedding, mixed.model.embedding)


def test_rank_correlation_is_that_of_scipy() -> None:
    from scipy.stats import spearmanr

    a, b = [1.0, 2.0, 2.0, 5.0, -1.0], [0.3, 0.1, 0.5, 0.5, -2.0]
    assert checks.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert checks.spearman(a, [1.0] * 5) != checks.spearman(a, [1.0] * 5)  # NaN


def test_the_measured_effect_of_the_last_layer_is_what_the_unembedding_says() -> None:
    """Nothing follows the last layer at the last position but norm and unembedding: no hook is needed to know."""
    model = small_model()
    tcs = {1: random_dictionary(DictionaryConfig(24, 24, 64, k=4), torch.Generator().manual_seed(0))}
    frozen = freeze(model.model, torch.arange(10), tcs)
    reading, _ = checks.prediction(frozen, model.model)
    feature = int(frozen.transcoders[1].z[9].argmax())
    (effect,) = checks.measured_effects(model.model, frozen, [(1, 9, feature)], reading)
    written = frozen.transcoders[1].z[9, feature] * frozen.transcoders[1].W_dec[feature]
    first, second = (int(token) for token in reading.name.split("-"))
    before, after = (model.model.unembed(x.float()) for x in (frozen.final[9], frozen.final[9] - written))
    expected = (before[first] - before[second]) - (after[first] - after[second])
    assert effect == pytest.approx(expected.item(), abs=1e-4)
    assert abs(effect) > 1e-2


class Letters:
    """One token a letter: enough for prompts whose digits are tokens."""

    bos = eos = None

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


def test_greater_than_keeps_everything_when_everything_is_kept() -> None:
    cfg = DecoderConfig(128, 64, 16, n_layer=2, n_head=4, n_kv_head=2, d_head=4, d_mlp=100)
    decoder = Decoder(cfg, torch.Generator().manual_seed(0)).requires_grad_(False)
    for parameter in decoder.parameters():
        parameter.mul_(8)
    model = LanguageModel(decoder, Letters(), "letters")
    prompts = prompts_of(model, (1, 4))
    assert prompts.tokens.shape[0] == 16
    dictionary = random_dictionary(DictionaryConfig(16, 16, 100, k=8), torch.Generator().manual_seed(0))
    found = greater_than(model, 1, dictionary, prompts.tokens)
    for kept in (found.features.mean, found.features.zero):
        assert kept[100] == pytest.approx(found.replaced, abs=1e-5)
    for kept in (found.neurons.mean, found.neurons.zero):
        assert kept[100] == pytest.approx(found.model, abs=1e-5)
    assert found.features.mean[1] != found.features.zero[1]


# The verbs


def test_train_graph_and_features_on_a_model_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Transformer(TransformerConfig(30, 32, 16, n_layer=2, n_head=4), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.mul_(8)
    save_own(own, tmp_path / "own.safetensors")
    words = torch.randint(0, 30, (40, 30), generator=torch.Generator().manual_seed(1)).tolist()
    (tmp_path / "text.txt").write_text("\n\n".join(" ".join(map(str, row)) for row in words))
    out = tmp_path / "run"
    options = {"features": 48, "k": 4, "steps": 20, "tokens": 400, "context": 16, "batch": 32}
    verbs.train(str(tmp_path / "own.safetensors"), str(tmp_path / "text.txt"), out=out, control=False, **options)
    assert "recovered" in capsys.readouterr().out
    for layer in (0, 1):
        assert load_dictionary(out / "dictionaries" / f"layer-{layer}").layer == layer

    verbs.graph(out, prompt="1 2 3 4 5 6", target="7-8")
    graph = FeatureGraph.from_json(json.loads((out / "graph.json").read_text()))
    assert graph.relative_error < 1e-3
    assert graph.prompt == ("1", "2", "3", "4", "5", "6")
    assert "svg" in (out / "graph.html").read_text()
    direct = load_source(out / "dictionaries", str(tmp_path / "own.safetensors"))
    verbs.graph(out / "dictionaries", prompt="1 2 3 4 5 6", target="7-8", model=str(tmp_path / "own.safetensors"))
    again = FeatureGraph.from_json(json.loads((out / "dictionaries" / "graph.json").read_text()))
    assert again.value == pytest.approx(graph.value)
    assert again.error_mass == pytest.approx(graph.error_mass, rel=1e-4)
    assert set(direct.dictionaries) == {0, 1}

    verbs.features(out, count=3)
    assert "excited by" in (out / "features.html").read_text()
    verbs.features(out, count=3, blind=True, out=tmp_path / "blind.html")
    blind = (tmp_path / "blind.html").read_text()
    assert not any(word in blind for word in ("excited by", "Layer", str(out)))
    assert len(json.loads((tmp_path / "blind.key.json").read_text())) == 3


def small_source() -> Source:
    g = torch.Generator().manual_seed(0)
    tcs = {layer: random_dictionary(DictionaryConfig(24, 24, 64, k=4), g) for layer in (0, 1)}
    return Source(small_model(), tcs, begin=False, config=None, text_seed=0, given=None)


def test_targets_are_differences_tokens_or_features() -> None:
    source = small_source()
    frozen = freeze(source.model.model, torch.arange(6), source.dictionaries)
    logits = source.model.logits(torch.arange(6)[None])[0, -1]
    assert parse_target("3-4", source, frozen).value == pytest.approx((logits[3] - logits[4]).item(), abs=1e-4)
    assert parse_target("3", source, frozen).value == pytest.approx((logits[3] - logits.mean()).item(), abs=1e-4)
    feature = parse_target("L1.f5@-1", source, frozen)
    assert (feature.below, feature.position) == (1, 5)


@pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")
def test_a_space_before_a_word_is_one_token_where_the_tokenizer_adds_one_itself() -> None:
    model = load_model(STORIES)
    anatomy = anatomy_of(model.model)
    with_space, without = (direction(target, model, anatomy) for target in (" with- and", "with-and"))
    assert torch.equal(with_space, without)
    with pytest.raises(UserError, match=r"' Mary' is 4 tokens"):
        direction(" Mary- John", model, anatomy)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("3 4", r"'3 4' is 2 tokens for small, must be one: '3' '4'"),
        ("3-4 5", r"'4 5' is 2 tokens"),
        ("L7.f1@-1", "layer 7 has no transcoder; there are 0, 1"),
        ("L1.f64@-1", "feature 64, must be below 64"),
        ("L1.f1@0", "position 0 is not one of the 6 tokens but the first"),
    ],
)
def test_a_target_that_is_not_there_is_refused(target: str, message: str) -> None:
    source = small_source()
    frozen = freeze(source.model.model, torch.arange(6), source.dictionaries)
    with pytest.raises(UserError, match=message):
        parse_target(target, source, frozen)


def test_bad_input_is_one_clear_message(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UserError, match="must be from 0 to 1: the model has 2 layers"):
        verbs.train("small", layers="5", out=tmp_path / "a")
    with pytest.raises(UserError, match="layers: got 'two', must be numbers"):
        verbs.train("small", layers="two", out=tmp_path / "a")
    (tmp_path / "short.txt").write_text("1 2 3\n\n4 5\n")
    with pytest.raises(UserError, match=r"short.txt: 5 tokens in 2 documents do not make two contexts"):
        verbs.train("small", str(tmp_path / "short.txt"), out=tmp_path / "a")
    with pytest.raises(UserError, match="k is 99, must be from 1"):
        verbs.train("small", features=48, k=99, out=tmp_path / "a")
    with pytest.raises(UserError, match="copy its input"):
        verbs.train("small", sae=True, skip=True, k=4, features=64, out=tmp_path / "a")
    with pytest.raises(UserError, match="give the text"):
        verbs.graph(run.path)
    with pytest.raises(UserError, match="from 2 to 64"):
        verbs.graph(run.path, prompt="3")
    with pytest.raises(UserError, match="neither a run nor dictionaries"):
        verbs.graph(tmp_path, prompt="1 2")
    with pytest.raises(UserError, match="there are dictionaries for 0, 1"):
        verbs.features(run.path, layer=4)
    with pytest.raises(UserError, match="must be from 0 to 63"):
        verbs.features(run.path, feature=(64,))
    wide = random_dictionary(DictionaryConfig(768, 768, 32, k=2), torch.Generator())
    save_dictionary(tmp_path / "wide", wide, layer=0, model="small")
    with pytest.raises(UserError, match=r"wide: d_in 768, model 24"):
        verbs.graph(tmp_path / "wide", prompt="1 2 3")
    config = json.loads((tmp_path / "wide" / CONFIG).read_text())
    config["metadata"]["hook_name"] = "blocks.9.hook_mlp_out"
    (tmp_path / "wide" / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match="names no layer of small, which has 2"):
        verbs.graph(tmp_path / "wide", prompt="1 2 3")
    assert not (tmp_path / "a").exists()


def test_a_picture_puts_no_two_nodes_in_one_place_and_pages_escape(run: Run) -> None:
    graph = FeatureGraph.from_json(run.trial("transcoder", 0).artifact("graph"))
    picture = graph_picture(graph, "graph", "a run")
    assert isinstance(picture, Circuit)
    places = [(node.column, node.row) for node in picture.nodes]
    assert len(set(places)) == len(places)
    assert any(node.label.startswith("f") for node in picture.nodes)
    assert all(abs(edge.strength) <= 1 for edge in picture.edges)
    nasty = dataclasses.replace(graph, prompt=tuple("<script>" for _ in graph.prompt))
    assert "&lt;script&gt;" in graph_page(nasty)
    cards = run.trial("transcoder", 0).artifact("cards")
    assert cards_page("Cards", cards, "all").count("<article>") == len(cards)


def test_exhibits_show_what_was_measured(run: Run) -> None:
    shown = {exhibit.name: exhibit for exhibit in study.STUDY.exhibits(run)} if study.STUDY.exhibits else {}
    assert {"layers", "faith", "frequencies", "graph", "training", "cards-transcoder"} <= shown.keys()
    layers = shown["layers"]
    curve = run.trial("transcoder", 0).artifact("curve")
    assert list(layers.series[0].values) == [point["recovered"] for point in curve]  # type: ignore[union-attr]
    frequencies = shown["frequencies"]
    assert sum(frequencies.series[0].values) == pytest.approx(1.0)  # type: ignore[union-attr]
