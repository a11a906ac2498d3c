"""
The table of syllables: what pypinyin says of every character, one line per syllable.

Reading the table takes a few milliseconds; importing pypinyin with its phrases takes
a fifth of a second and 30 MB. `python -m rules.disguise.syllable_table` writes it anew,
after an update of pypinyin; a test says when that is due.
"""

import re
from importlib import resources
from pathlib import Path

_TONES = str.maketrans("āáǎàōóǒòēéěèīíǐìūúǔùǖǘǚǜüńňǹḿ", "aaaaooooeeeeiiiiuuuuvvvvvnnnm")
_SYLLABLE = re.compile("[a-z]{1,6}")


def table_path() -> Path:
    """Where the table lies."""
    return Path(str(resources.files("rules"))) / "disguise" / "syllables.txt"


def read_table() -> dict[str, str]:
    """
    Syllables without tones, each with the characters whose first reading it is.

    Some syllables are the first reading of none.
    """
    lines = table_path().read_text("utf-8").splitlines()
    return {syllable: chars for syllable, _, chars in (line.partition(" ") for line in lines)}


def table_of_pypinyin() -> dict[str, str]:
    """The table as the installed pypinyin gives it."""
    from pypinyin import Style, pinyin
    from pypinyin.constants import PINYIN_DICT

    found: dict[str, list[str]] = {}
    for readings in PINYIN_DICT.values():
        for reading in readings.split(","):
            found.setdefault(reading.translate(_TONES), [])
    found = {syllable: [] for syllable in found if _SYLLABLE.fullmatch(syllable)}
    for char in map(chr, sorted(PINYIN_DICT)):
        found.setdefault(str(pinyin(char, style=Style.NORMAL, v_to_u=False)[0][0]), []).append(char)
    return {syllable: "".join(chars) for syllable, chars in sorted(found.items())}


def main() -> None:
    """Write the table anew."""
    lines = [f"{syllable} {chars}".strip() + "\n" for syllable, chars in table_of_pypinyin().items()]
    table_path().write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main()
