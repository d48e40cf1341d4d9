"""The tasks that need no download: every text has one answer, and held-out splits hold what training never saw."""

import datetime
import functools

import pytest
from babel import Locale

from data.text import dates, reverse
from errors import UserError

ANY = ("de", "en")


@functools.cache
def splits(task, name: str = "") -> dict[str, list[tuple[str, str]]]:
    return {split: task.pairs(name, split, "", ANY) for split in ("train", "validation", "test")}


@pytest.mark.parametrize(("task", "sizes"), [(dates, (40_000, 1_000, 2_000)), (reverse, (50_000, 1_000, 1_000))])
def test_splits_have_their_sizes_share_nothing_and_are_the_same_again(task, sizes):
    first = splits(task)
    assert first["validation"] == task.pairs("", "validation", "", ANY)
    assert tuple(map(len, first.values())) == sizes
    for side in (0, 1):
        assert len({pair[side] for pairs in first.values() for pair in pairs}) == sum(sizes)


@pytest.mark.parametrize("task", [dates, reverse])
def test_a_part_of_a_split_is_its_first_pairs(task):
    assert task.pairs("", "train[:500]", "", ANY) == splits(task)["train"][:500]


def test_dates_are_iso_dates_of_two_centuries():
    found = [datetime.date.fromisoformat(iso) for pairs in splits(dates).values() for _, iso in pairs]
    assert {date.year for date in found} == set(range(1900, 2100))
    assert {(date.month, date.day) for date in found} >= {(2, 29), (12, 31), (1, 1)}


def test_no_text_stands_for_two_dates():
    """Within a year, as every text spells its year; one that leaps has all days."""
    ways = [(pattern, locale) for locale in map(Locale.parse, dates.LOCALES) for pattern in dates.patterns(locale)]
    meant: dict[str, datetime.date] = {}
    for day in range(366):
        date = datetime.date(2024, 1, 1) + datetime.timedelta(day)
        for way in ways:
            text = dates.write(date, *way)
            assert "2024" in text
            assert meant.setdefault(text.casefold(), date) == date, (text, way)


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", {"Thursday, March 7, 2024", "March 7, 2024", "Mar 7, 2024", "Thu, Mar 7, 2024"}),
        ("en_GB", {"7 March 2024", "07/03/2024"}),
        ("de", {"Donnerstag, 7. März 2024", "7. März 2024", "07.03.2024", "7.3.2024", "Do., 7.3.2024"}),
        ("fr", {"jeudi 7 mars 2024", "07/03/2024"}),
        ("es", {"jueves, 7 de marzo de 2024", "7 mar 2024"}),
        ("sv", {"torsdag 7 mars 2024", "2024-03-07"}),
        ("hu", {"2024. március 7., csütörtök", "2024. 03. 07."}),
        ("ru", {"четверг, 7 марта 2024 г.", "7 мар. 2024 г."}),
        ("ar", {"الخميس، 7 مارس 2024", "7/3/2024"}),
        ("ja", {"2024年3月7日木曜日", "2024/03/07"}),
    ],
)
def test_the_ways_to_write_a_date(locale, expected):
    locale = Locale.parse(locale)
    written = {dates.write(datetime.date(2024, 3, 7), pattern, locale) for pattern in dates.patterns(locale)}
    assert written >= expected
    assert not written & {"3/7/2024", "3/7/24", "07.03.24"}


def test_a_name_chooses_locales_and_leaves_the_dates_as_they_are():
    german = dates.pairs("de, ja", "test", "", ANY)
    assert [iso for _, iso in german] == [iso for _, iso in dates.pairs("", "test", "", ANY)]
    assert any("年" in text for text, _ in german)
    assert not any("March" in text for text, _ in german)


@pytest.mark.parametrize(("name", "symbols", "length"), [("", 50, 25), ("7,10", 7, 10)])
def test_the_target_is_the_source_reversed(name, symbols, length):
    for pairs in splits(reverse, name).values():
        for source, target in pairs:
            assert target.split(" ") == source.split(" ")[::-1]
        numbers = [[int(number) for number in source.split()] for source, _ in pairs]
        assert {n for sequence in numbers for n in sequence} == set(range(symbols))
        assert {len(sequence) for sequence in numbers} >= set(range(3, length + 1))
        assert max(map(len, numbers)) == length


@pytest.mark.parametrize(
    ("task", "name", "split", "message"),
    [
        (dates, "", "tests", "did you mean 'test'"),
        (dates, "de,en-GB", "test", "did you mean 'en_GB'"),
        (reverse, "", "tests", "did you mean 'test'"),
        (reverse, "50", "test", "as in 50,25"),
        (reverse, "1,100", "test", "too few sequences"),
        (reverse, "2,10", "test", "too few sequences"),
    ],
)
def test_mistakes_are_told(task, name, split, message):
    with pytest.raises(UserError, match=message):
        task.pairs(name, split, "", ANY)
