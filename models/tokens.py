"""Special ids of every vocabulary. Any room may import this file: it imports nothing."""

PAD, UNKNOWN, BOS, EOS = 0, 1, 2, 3
SENTINEL = r"<extra_id_(\d+)>"  # how a token that stands for a hidden span is written, as a pattern
