"""Special ids of every vocabulary. Any room may import this file: it imports nothing."""

PAD, UNKNOWN, BOS, EOS = 0, 1, 2, 3
SENTINEL = "<extra_id_{}>"  # how the token is written that stands for the hidden span of this number
SENTINELS = r"<extra_id_(\d+)>"  # the same as a pattern
