"""The tokenizer: text comes back from its ids, the same texts give the same model, and sizes that cannot be are
named.
"""

import hashlib
import io
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from data import tokenizer
from data.tokenizer import BOS, EOS, PAD, UNKNOWN, Tokenizer
from errors import UserError

ROOT = Path(__file__).parents[2]
TEXTS = [
    "Ein kleiner Hund läuft über die große Straße.",
    "A small dog runs across the big street.",
    "Zwei Männer sitzen auf einer Bank und lesen, während es regnet.",
    "Two men sit on a bench and read while it is raining.",
    "Die Katze schläft; der Hund bellt!",
    "The cat sleeps; the dog barks!",
]
ALPHABET = sorted(set("".join(TEXTS)))
SIZES = {"bpe": 90, "unigram": 60, "char": 500, "word": 500}
SUBWORDS = ("bpe", "unigram", "char")


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: Tokenizer.train(TEXTS, kind, size) for kind, size in SIZES.items()}


def normalised(text):
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("kind", SIZES)
def test_the_texts_come_back(tokenizers, kind):
    tok = tokenizers[kind]
    ids = tok.encode(TEXTS)
    assert [tok.decode(i) for i in ids] == TEXTS
    for i in ids:
        assert i.dtype == np.int32
        assert i[-1] == EOS
        assert not set(i[:-1]) & {PAD, UNKNOWN, BOS, EOS}
        assert i.max() < tok.size == len(tok.vocabulary)


@pytest.mark.parametrize("kind", SUBWORDS)
@given(parts=st.lists(st.sampled_from([*ALPHABET, "  ", "\u2028", "ﬁ", "ａ", "u\u0308"]), max_size=40))
def test_any_text_of_known_characters_comes_back_normalised(tokenizers, kind, parts):
    text = "".join(parts)
    ids = tokenizers[kind].encode([text])[0]
    assert tokenizers[kind].unknown(ids) == 0
    assert tokenizers[kind].decode(ids) == normalised(text)


@given(text=st.text(max_size=20))
def test_with_bytes_to_fall_back_on_nothing_is_unknown(byte_tokenizer, text):
    ids = byte_tokenizer.encode([text])[0]
    assert byte_tokenizer.unknown(ids) == 0
    again = byte_tokenizer.encode([byte_tokenizer.decode(ids)])[0]
    assert again.tolist() == ids.tolist()


@pytest.fixture(scope="module")
def byte_tokenizer():
    return Tokenizer.train(TEXTS, "bpe", 350, byte_fallback=True)


def test_bytes_spell_what_the_texts_lack(byte_tokenizer):
    assert byte_tokenizer.decode(byte_tokenizer.encode(["der Hund ☃ 猫"])[0]) == "der Hund ☃ 猫"


def test_an_empty_text_is_its_end(tokenizers):
    for tok in tokenizers.values():
        assert [ids.tolist() for ids in tok.encode(["", "  "])] == [[EOS], [EOS]]
        assert tok.decode([EOS]) == tok.decode([]) == ""
        assert tok.encode([]) == []


def test_decoding_stops_at_the_end_and_passes_over_padding(tokenizers):
    tok = tokenizers["bpe"]
    first, second = tok.encode(TEXTS[:2])
    ids = np.array([BOS, *first, PAD, *second, PAD])
    assert tok.decode(ids) == TEXTS[0]
    assert tok.decode([PAD, *first[:-1], PAD]) == TEXTS[0]
    for read in (tok.decode, tok.pieces):
        with pytest.raises(
            UserError, match=rf"^id {tok.size} is not in the vocabulary, whose largest is {tok.size - 1}\.$"
        ):
            read([tok.size])


def test_special_ids_are_not_spelled_by_any_text(tokenizers):
    for tok in tokenizers.values():
        assert tok.vocabulary[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
        ids = tok.encode(["a </s> <pad> <s>"])[0].tolist()
        assert not {PAD, BOS, EOS} & set(ids[:-1])


def test_unknown_characters_are_counted_and_shown(tokenizers):
    tok = tokenizers["bpe"]
    ids = tok.encode(["der ☃ Hund", "猫"])
    assert [tok.unknown(i) for i in ids] == [1, 1]
    assert tok.decode(ids[0]) == "der  ⁇  Hund"


def test_pieces_name_every_id(tokenizers):
    tok = tokenizers["word"]
    assert tok.pieces(tok.encode(["The cat barks!"])[0]) == ["▁The", "▁cat", "▁barks!", "</s>"]
    assert tok.pieces([PAD, UNKNOWN, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    tok = tokenizers["bpe"]
    assert "".join(tok.pieces(tok.encode([TEXTS[0]])[0])[:-1]) == "▁" + TEXTS[0].replace(" ", "▁")


def test_a_character_or_word_vocabulary_is_what_occurs_the_most_frequent_first(tokenizers):
    assert set(tokenizers["char"].vocabulary[4:]) == {c.replace(" ", "▁") for c in ALPHABET}
    text = ["a b a c a b " + "d " * 5]
    for kind, mark in (("char", ""), ("word", "▁")):
        assert [p for p in Tokenizer.train(text, kind, 99).vocabulary[4:] if p != "▁"] == [mark + c for c in "dabc"]
    assert Tokenizer.train(text, "word", 6).vocabulary[4:] == ["▁d", "▁a"]


def test_a_stored_model_is_the_tokenizer(tokenizers):
    for tok in tokenizers.values():
        again = Tokenizer(tok.model)
        assert (again.model, again.size, again.digest) == (tok.model, tok.size, tok.digest)
        assert [i.tolist() for i in again.encode(TEXTS)] == [i.tolist() for i in tok.encode(TEXTS)]
        assert tok.digest == hashlib.sha256(tok.model).hexdigest()[:16]
    assert len({tok.digest for tok in tokenizers.values()}) == len(tokenizers)


def test_a_zero_width_non_joiner_is_kept_where_it_is_asked_for():
    text = "می\u200cخواهم ﬁ 👩\u200d👧"
    for rule, expected in (("nmt_nfkc", ("\u200c", " ")), ("nfkc", ("ﬁ", "fi")), ("identity", ("", ""))):
        tok = Tokenizer.train([text], "char", 60, normalisation=rule)
        decoded = tok.decode(tok.encode([text])[0])
        assert decoded == (text.replace("ﬁ", "fi").replace(*expected) if rule != "identity" else text)


MANY = """
import random
from data import tokenizer
chance = random.Random(0)
words = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 6))) for _ in range(300)]
texts = (" ".join(chance.choices(words, k=8)) for _ in range(1000))
tokenizer.SENTENCES = 100
tok = tokenizer.Tokenizer.train(texts, "unigram", 120)
print(tok.digest)
"""


def test_the_same_texts_give_the_same_bytes_in_every_process(tokenizers):
    for kind, size in SIZES.items():
        assert Tokenizer.train(iter(TEXTS), kind, size).model == tokenizers[kind].model
    digests = {subprocess.check_output([sys.executable, "-c", MANY], cwd=ROOT, text=True) for _ in range(2)}
    assert len(digests) == 1


def test_of_too_many_texts_a_sample_from_all_over_is_learned(monkeypatch):
    monkeypatch.setattr(tokenizer, "SENTENCES", 100)
    texts = [chr(ord("a") + i // 100) for i in range(1000)]  # 100 of a, then 100 of b, ...
    assert set(Tokenizer.train(texts, "char", 99).vocabulary[4:]) == {"▁", *"abcdefghij"}
    shares = [len([t for t in tokenizer.sampled(texts, 100) if t == letter]) for letter in "abcdefghij"]
    assert sum(shares) == 100
    assert all(1 <= share <= 25 for share in shares)
    assert tokenizer.sampled(texts, 1000) == texts


def test_training_reads_once_writes_no_file_and_prints_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Tokenizer.train((text for text in TEXTS), "bpe", 60)
    with pytest.raises(UserError):
        Tokenizer.train(TEXTS, "bpe", 9000)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_long_texts_are_learned_from_too():
    assert "z" in Tokenizer.train(["a b", "z " * 5000], "char", 99).vocabulary


def test_an_error_of_the_texts_own_is_not_hidden():
    def texts():
        yield "a text"
        raise UserError("line 2 is not UTF-8")

    with pytest.raises(UserError, match="line 2 is not UTF-8"):
        Tokenizer.train(texts(), "bpe", 60)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_size_too_large_names_the_largest_which_works(kind):
    with pytest.raises(UserError, match=r"too few for a .* tokenizer of size=8000: it can have \d+ at most") as error:
        Tokenizer.train(TEXTS, kind, 8000)
    most = int(str(error.value).split("have ")[1].split()[0])
    assert Tokenizer.train(TEXTS, kind, most).size == most
    with pytest.raises(UserError, match=f"can have {most} at most"):
        Tokenizer.train(TEXTS, kind, most + 1)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_size_too_small_names_the_smallest(kind):
    least = len(ALPHABET) + 4
    with pytest.raises(UserError, match=f"needs {least} at least, or a coverage below 1.0"):
        Tokenizer.train(TEXTS, kind, least - 1)
    assert Tokenizer.train(TEXTS, kind, least).size == least
    assert Tokenizer.train(TEXTS, kind, least - 1, coverage=0.98).size == least - 1


@pytest.mark.parametrize(
    ("texts", "kind", "size", "message"),
    [
        ([], "bpe", 60, "there is no text"),
        (["", " "], "char", 60, "there is no text"),
        (["\x01"], "bpe", 60, "no bpe tokenizer of size=60 can be learned"),
        (TEXTS, "char", 4, "no room beside its four special ids"),
        (TEXTS, "bpee", 60, "no bpee tokenizer .*bpee"),
    ],
)
def test_what_cannot_be_learned_is_one_clear_line(texts, kind, size, message):
    with pytest.raises(UserError, match=message) as error:
        Tokenizer.train(texts, kind, size)
    assert "\n" not in str(error.value)
    assert ".cc(" not in str(error.value)


def test_a_damaged_or_foreign_model_is_refused(tokenizers, capfd):
    model = tokenizers["bpe"].model
    for damaged in (b"", b"no model", model[: len(model) // 2], model[:-1]):
        with pytest.raises(UserError, match="no tokenizer, or a damaged one"):
            Tokenizer(damaged)
    foreign = io.BytesIO()  # with sentencepiece's own special ids
    SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=foreign, vocab_size=60, minloglevel=2)
    with pytest.raises(UserError, match="was not made here"):
        Tokenizer(foreign.getvalue())
    assert capfd.readouterr().err == ""


def test_threads_do_not_change_what_is_encoded(tokenizers, monkeypatch):
    chance = random.Random(0)
    texts = [" ".join(chance.choices(" ".join(TEXTS).split(), k=chance.randint(0, 9))) for _ in range(500)]
    tok = tokenizers["unigram"]
    expected = [i.tolist() for i in tok.encode(texts)]
    monkeypatch.setattr(tokenizer, "cores", lambda: 1)
    assert [i.tolist() for i in tok.encode(texts)] == expected
    assert [tok.encode([t])[0].tolist() for t in texts] == expected
