"""Special ids of every vocabulary. Any room may import this file: it imports nothing."""

PAD, UNKNOWN, BOS, EOS = 0, 1, 2, 3
