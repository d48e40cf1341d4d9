"""How a published model writes text: generation_config.json or, in older folders, the same keys of config.json.

Ids here are those of the published tokenizer.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from errors import UserError
from weights.ours import Settings
from weights.tables import Json

LIMITS = {"length", "extra_length"}  # keys of config.task where a task writes texts
FILE = "generation_config.json"
OLDER = "config.json"
SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0}  # what transformers draws with where a file says nothing
# What has no counterpart here, and the values that change nothing.
UNREAD: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "typical_p", "num_return_sequences"), (1,)),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), (0,)),
    **dict.fromkeys(("diversity_penalty", "epsilon_cutoff", "eta_cutoff", "min_p", "penalty_alpha"), (0,)),
    **dict.fromkeys(("forced_bos_token_id", "forced_decoder_ids", "suppress_tokens", "begin_suppress_tokens"), ([],)),
    **dict.fromkeys(("sequence_bias", "exponential_decay_length_penalty", "stop_strings"), ([],)),
    **dict.fromkeys(("num_beam_groups", "guidance_scale"), (1,)),
}


def read(folder: Path) -> tuple[str, Json]:
    """The file of a folder that says how texts are written, and what it says; nothing where there is none.

    Raises:
      UserError: it is no JSON object.
    """
    for name in (FILE, OLDER):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, OSError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{path} is no JSON object: move it away.")
        return name, found
    return "", {}


def settings(said: Json, ids: Mapping[str, int], keys: Collection[str]) -> tuple[Settings, list[str]]:
    """The keys of config.task that a file sets, `stop` among them as their id; and lines on what differs here or is not
    read.

    Args:
      said: what the file says. Nothing follows from a key that it does not have.
      ids: of the roles "pad", "bos" and "eos", those that the tokenizer has.
      keys: of config.task.

    Raises:
      ValueError, TypeError: a value that is not a number.
    """
    said = {key: value for key, value in said.items() if value is not None}
    found: Settings = {}
    unread = [key for key, neutral in UNREAD.items() if key in said and said[key] not in neutral]
    beams = int(said.get("num_beams", 1))
    if "beams" in keys and "num_beams" in said:
        found["beams"] = beams
    elif beams > 1:
        unread.append("num_beams")
    if "alpha" in keys and beams > 1:
        found["alpha"] = float(said.get("length_penalty", 1.0))
    if "temperature" in keys and "do_sample" in said:
        drawn = {key: type(usual)(said.get(key, usual)) for key, usual in SAMPLING.items()}
        found |= drawn if said["do_sample"] else {"temperature": 0.0}
    if "length" in keys and "max_new_tokens" in said:
        found["length"] = int(said["max_new_tokens"])
    elif "max_new_tokens" in said:
        unread.append("max_new_tokens")
    elif "max_length" in said:
        unread.append("max_length")
    if "start" in keys and "decoder_start_token_id" in said:
        start = [role for role in ("pad", "bos") if ids.get(role) == said["decoder_start_token_id"]]
        found |= {"start": start[0]} if start else {}
        unread += [] if start else ["decoder_start_token_id"]
    end, own = said.get("eos_token_id", []), ids.get("eos")
    ends = [int(one) for one in (end if isinstance(end, list) else [end])]
    if "stop" in keys and ends:
        found["stop"] = own = own if own in ends else ends[0]
    if set(ends) - {own}:
        unread.append("eos_token_id")
    if said.get("forced_eos_token_id", own) not in (own, *ends):
        unread.append("forced_eos_token_id")
    silent = [[ids[role]] for role in ("pad", "bos") if role in ids] if "start" in keys else []
    if [word for word in said.get("bad_words_ids", []) if word not in silent]:
        unread.append("bad_words_ids")
    lines = []
    if "alpha" in found:
        lines.append(
            f"length_penalty={found['alpha']:g} divides by n^{found['alpha']:g} there, and as config.task.alpha by "
            f"((5 + n)/6)^{found['alpha']:g} here"
        )
    if unread:
        values = ", ".join(f"{key}={json.dumps(said[key])[:40]}" for key in unread)
        lines.append(f"{values}: not read, so that texts may differ from those of transformers")
    return found, lines


def written(task: Settings, ids: Mapping[str, int | None], longest: int) -> Json:
    """The file of a run; empty for a task that writes no text.

    Args:
      task: config.task.
      ids: by the keys of config.json, "eos_token_id".
      longest: the most tokens of a source.
    """
    if not LIMITS.intersection(task):
        return {}
    sampled = task.get("temperature", 0.0) > 0
    said: Json = {**ids, "do_sample": sampled}
    said["max_new_tokens"] = task["length"] if "length" in task else longest + task["extra_length"]
    if sampled:
        said |= {key: task[key] for key in SAMPLING}
    elif task.get("beams", 1) > 1:
        said |= {"num_beams": task["beams"], "length_penalty": task["alpha"]}
    if "start" in task:
        said["forced_eos_token_id"] = ids["eos_token_id"]
        said["bad_words_ids"] = [[ids["pad_token_id"]]]
    return said
