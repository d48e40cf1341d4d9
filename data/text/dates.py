"""Dates as people write them in many languages, to ISO 8601: "Donnerstag, 7. März 2024" to "2024-03-07".

The ways to write a date are those of the CLDR, as Babel carries it: nothing to download.
"""

import datetime

import numpy as np
from babel import Locale
from babel.dates import DateTimePattern, tokenize_pattern

from data.slices import cut, stem
from errors import UserError, nearest

LOCALES = (
    *("en", "en_GB", "de", "nl", "sv", "da", "nb", "fr", "es", "it", "pt", "ro", "pl", "cs", "lt"),
    *("fi", "hu", "tr", "id", "vi", "ru", "uk", "el", "ar", "he", "hi", "th", "ja", "zh", "ko"),
)
STYLES = ("full", "long", "medium", "short")
SKELETONS = ("yMd", "yMEd", "yMMMd", "yMMMEd", "yMMMMd", "yMMMMEd", "yMMMEEEEd", "yMMMMEEEEd")
SPLITS = {"test": slice(2_000), "validation": slice(2_000, 3_000), "train": slice(3_000, 43_000)}
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
# what the eye does not tell from a plain space, or does not see at all (the marks of right-to-left text)
PLAIN = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200e": "", "\u200f": "", "\u061c": ""})


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, str]) -> list[tuple[str, str]]:
    """`name` is "" for all of LOCALES, or some of them with commas between; `data_dir` and `languages` are not used.

    Each pair is of another date, so a held-out split asks for dates that training never saw.
    """
    if (whole := stem(split)) not in SPLITS:
        raise UserError(f"the dates have no split {whole!r}: {nearest(whole, SPLITS)}")
    codes = [code.strip() for code in name.split(",")] if name else LOCALES
    for code in codes:
        if code not in LOCALES:
            raise UserError(f"config.data.name={name!r}: there is no locale {code!r}: {nearest(code, LOCALES)}")
    ways = [(pattern, locale) for locale in map(Locale.parse, codes) for pattern in patterns(locale)]
    rng = np.random.default_rng(0)
    days = rng.permutation((LAST - FIRST).days + 1)[SPLITS[whole]].tolist()
    chosen = rng.integers(len(ways), size=SPLITS["train"].stop)[SPLITS[whole]].tolist()
    dates = [FIRST + datetime.timedelta(day) for day in days]
    ways_and_dates = cut(list(zip(dates, chosen, strict=True)), split, "the dates")
    return [(write(date, *ways[way]), date.isoformat()) for date, way in ways_and_dates]


def patterns(locale: Locale) -> list[DateTimePattern]:
    """The locale's patterns that leave no doubt which date is meant, whichever of the locales wrote it."""
    found = [locale.date_formats[style] for style in STYLES]
    found += [locale.datetime_skeletons[key] for key in SKELETONS if key in locale.datetime_skeletons]
    return [pattern for pattern in {p.pattern: p for p in found}.values() if _determines(pattern)]


def write(date: datetime.date, pattern: DateTimePattern, locale: Locale) -> str:
    """A date by a pattern, with Latin digits and plain spaces."""
    return pattern.apply(date, locale).translate(PLAIN)


def _determines(pattern: DateTimePattern) -> bool:
    """A year of two digits may be of either century, and 3/7/2024 either the third of July or the seventh of March:
    a month in digits has to stand between the day and the year."""
    fields = [field for _, field in tokenize_pattern(pattern.pattern) if isinstance(field, tuple)]
    order = "".join(letter for letter, _ in fields if letter in "yMd")
    spelled = any(letter == "M" and count > 2 for letter, count in fields)
    return ("y", 1) in fields and (spelled or order in ("dMy", "yMd"))
