"""Translating `rows` random sentences of `length` tokens by the base Transformer with random weights and V words, by
beam search or greedily (beams=1). Every translation has length + 1 tokens; what is counted is tokens."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from contestants import here, translation

Work = Callable[[], float]


def ours(rows: int, length: int, vocabulary: int, beams: int, weights: str) -> Work:
    """This code, by the predictions of a run. weights: "float32" or "int8", as predict.py's --weights."""
    changes = translation.changes(rows, length, vocabulary) | {"task.beams": beams, "task.extra_length": 1}
    run = replace(here.run("configs/transformer_wmt14.py:base", changes, read=False), weights=weights)
    source, target = translation.sentences(rows, length, vocabulary)
    batch = {"source": source, "target": target, "index": np.arange(rows, dtype=np.int32)}
    variables = run.prepared(run.initialise().eval_variables)
    return lambda: int((next(run.predict(variables, [batch]))["tokens"] > 0).sum())


def flax(rows: int, length: int, vocabulary: int, beams: int) -> Work:
    """flax's examples/wmt, whose greedy search is a beam of one."""
    models = here.module("FLAX", "examples/wmt", "models")
    search = here.module("FLAX", "examples/wmt", "decode")
    import jax

    config = models.TransformerConfig(
        vocab_size=vocabulary,
        output_vocab_size=vocabulary,
        share_embeddings=True,
        logits_via_embedding=True,
        max_len=256,
        deterministic=True,
        decode=True,
    )
    model, most = models.Transformer(config), length + 2  # one place is for what stands before the first token
    source, _ = translation.sentences(rows, length, vocabulary)
    begun = jax.jit(lambda: model.init(jax.random.key(0), source, np.ones((rows, most), np.int32)))()
    params, cache = begun["params"], begun["cache"]

    @jax.jit
    def translate(params: here.Theirs, cache: here.Theirs, source: here.Theirs) -> here.Theirs:
        encoded = model.apply({"params": params}, source, method=models.Transformer.encode)
        encoded, inputs = (search.flat_batch_beam_expand(x, beams) for x in (encoded, source))

        def logits(ids: here.Theirs, cache: here.Theirs) -> here.Theirs:
            both = {"params": params, "cache": cache}
            method = models.Transformer.decode
            output, changed = model.apply(both, encoded, inputs, ids, mutable=["cache"], method=method)
            return output.squeeze(axis=1), changed["cache"]

        # No token has the id -1: no translation ends early.
        return search.beam_search(source, cache, logits, beam_size=beams, eos_id=-1, max_decode_len=most)[0][:, -1, 1:]

    def work() -> float:
        return np.asarray(translate(params, cache, source)).size

    return work


def ctranslate2(rows: int, length: int, vocabulary: int, beams: int, compute_type: str) -> Work:
    """CTranslate2, of transformers' Marian. compute_type: "float32", or "int8" for weights of eight bits."""
    library = here.package("ctranslate2")
    loaders = here.package("ctranslate2.converters.transformers")
    transformers = here.package("transformers")
    # The padding, which comes last, is left out of the converted vocabulary.
    config = translation.marian_config(length, vocabulary + 1) | dict(pad_token_id=vocabulary)
    spec = loaders.MarianMTLoader().get_model_spec(transformers.MarianMTModel(transformers.MarianConfig(**config)))
    words = ["<unk>", "<s>", "</s>", *map(str, range(3, vocabulary))]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.validate()
    spec.optimize(quantization=None if compute_type == "float32" else compute_type)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model").mkdir()
        spec.save(f"{folder}/model")
        threads = len(os.sched_getaffinity(0))
        translator = library.Translator(
            f"{folder}/model", compute_type=compute_type, inter_threads=1, intra_threads=threads
        )
    source, _ = translation.sentences(rows, length, vocabulary)
    sentences = [[words[i] for i in row] for row in source]

    def work() -> float:
        results = translator.translate_batch(
            sentences, beam_size=beams, max_decoding_length=length + 1, min_decoding_length=length + 1
        )
        return sum(len(result.hypotheses[0]) for result in results)

    return work
