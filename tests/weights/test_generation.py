"""How published models write texts: what of generation_config.json is taken over, and what is said."""

import json

import pytest

from errors import UserError
from weights import generation

OPUS = {  # as opus-mt's folders have it
    "_from_model_config": True,
    "bad_words_ids": [[58100]],
    "bos_token_id": 0,
    "decoder_start_token_id": 58100,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "max_length": 512,
    "num_beams": 6,
    "pad_token_id": 58100,
    "renormalize_logits": True,
}
TRANSLATE = ("start", "beams", "alpha", "extra_length", "temperature", "top_k", "top_p")
CONTINUE = ("length", "stop", "temperature", "top_k", "top_p")


def test_a_published_translator_keeps_its_beams_and_its_beginning():
    found, lines = generation.settings(OPUS, {"pad": 58100, "eos": 0}, TRANSLATE)
    assert found == {"beams": 6, "alpha": 1.0, "start": "pad"}
    assert lines == [
        "length_penalty=1 divides by n^1 there, and as config.task.alpha by ((5 + n)/6)^1 here",
        "max_length=512: not read, so that texts may differ from those of transformers",
    ]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"bos_token_id": 50256, "eos_token_id": 50256}, {"stop": 50256}),
        ({"eos_token_id": [7, 50256]}, {"stop": 50256}),
        ({"do_sample": True, "top_p": 0.9, "top_k": None}, {"temperature": 1.0, "top_k": 50, "top_p": 0.9}),
        ({"do_sample": False, "temperature": 0.7, "max_new_tokens": 20}, {"temperature": 0.0, "length": 20}),
        ({"num_beams": 1, "repetition_penalty": 1.0, "suppress_tokens": []}, {}),
    ],
)
def test_of_a_language_model_what_the_file_says_and_nothing_else(said, found):
    settings, lines = generation.settings(said, {"eos": 50256}, CONTINUE)
    assert settings == found
    assert bool(lines) == isinstance(said.get("eos_token_id"), list)


@pytest.mark.parametrize(
    ("said", "ids", "named"),
    [
        ({"decoder_start_token_id": 2}, {"pad": 1, "eos": 2}, "decoder_start_token_id=2"),
        ({"bad_words_ids": [[1], [5, 6]]}, {"pad": 1, "eos": 2}, "bad_words_ids=[[1], [5, 6]]"),
        ({"forced_bos_token_id": 9, "no_repeat_ngram_size": 3}, {}, "no_repeat_ngram_size=3, forced_bos_token_id=9"),
        ({"eos_token_id": [2, 3]}, {"eos": 2}, "eos_token_id=[2, 3]"),
        ({"forced_eos_token_id": 3}, {"eos": 2}, "forced_eos_token_id=3"),
        ({"max_new_tokens": 9, "max_length": 8}, {}, "max_new_tokens=9"),
    ],
)
def test_what_has_no_counterpart_is_one_line(said, ids, named):
    found, lines = generation.settings(said, ids, TRANSLATE)
    assert found == {}
    assert lines == [f"{named}: not read, so that texts may differ from those of transformers"]


def test_older_folders_say_it_in_config_json(tmp_path):
    assert generation.read(tmp_path) == ("", {})
    (tmp_path / "config.json").write_text(json.dumps({"num_beams": 4}))
    assert generation.read(tmp_path) == ("config.json", {"num_beams": 4})
    (tmp_path / "generation_config.json").write_text("[]")
    with pytest.raises(UserError, match=r"generation_config.json is no JSON object: move it away"):
        generation.read(tmp_path)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_what_is_written_is_what_is_read(temperature):
    ids = {"pad_token_id": 9, "eos_token_id": 0, "decoder_start_token_id": 9}
    draws = dict(temperature=temperature, top_k=20, top_p=0.9)
    translate = dict(start="pad", beams=5, alpha=0.6, extra_length=50, **draws)
    said = generation.written(translate, ids, 128)
    assert said["max_new_tokens"] == 178
    found, lines = generation.settings(said, {"pad": 9, "eos": 0}, TRANSLATE)
    same = {"start": "pad"} | (draws if temperature else {"beams": 5, "alpha": 0.6, "temperature": 0.0})
    assert found == same
    assert lines[-1] == "max_new_tokens=178: not read, so that texts may differ from those of transformers"
    told = generation.written(dict(length=20, stop=3, **draws), {"eos_token_id": 7}, 0)
    found, lines = generation.settings(told, {"eos": 7}, CONTINUE)
    assert found == {"length": 20, "stop": 7} | (draws if temperature else {"temperature": 0.0})
    assert lines == []
    assert generation.written({"label_smoothing": 0.1}, {}, 128) == {}
