# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Recognition dictionaries: strict reading, growing, and the tiers of the
Table of General Standard Chinese Characters (2013, 8105 characters).

A dictionary has one character a line, and a line's place is the character's
id. The readers of the suite (label encoders and decoders, the C++ and Android
demos) take any line as it is: a byte order mark, a carriage return or a
character that occurs twice shifts or hides classes without a word. What is
read here is checked first, and errors name the line and the character.
"""
import os
import unicodedata

__all__ = [
    'DictionaryError', 'TABLE_PATH', 'GROWN_PATH', 'TIERS', 'read_dictionary',
    'write_dictionary', 'grow', 'check_grown', 'read_table', 'tiers', 'name_of'
]

_DICT_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'dict')
# The table in its own order: kTGH of Unicode's Unihan_OtherMappings.txt.
TABLE_PATH = os.path.join(_DICT_DIR, 'tgh_8105.txt')
# ppocr_keys_v1.txt with what it lacks of the table, and users' characters.
GROWN_PATH = os.path.join(_DICT_DIR, 'ppocr_keys_8105.txt')
# First and last number of the table in tiers 1, 2 and 3.
TIERS = ((1, 3500), (3501, 6500), (6501, 8105))


class DictionaryError(ValueError):
    """A dictionary that the suite's readers would take apart silently."""


def name_of(char):
    """'鄠 (U+9120)': a character for a message, visible or not."""
    shown = char if char.isprintable() and not char.isspace() else ''
    codes = ' '.join('U+{:04X}'.format(ord(one)) for one in char)
    return '{} ({})'.format(shown, codes) if shown else '({})'.format(codes)


def _fault(char):
    """Why `char`, a line of a dictionary, is no character, or None."""
    if char == '':
        return 'is empty'
    if '\r' in char:
        return 'ends in a carriage return (CRLF line ends?)'
    if char.startswith('\ufeff'):
        return 'begins with a byte order mark (U+FEFF)'
    if char == ' ':
        return 'is a space; leave it out and set use_space_char: true'
    if char != '\u3000' and any(one.isspace() for one in char):
        return 'holds white space: {}'.format(name_of(char))
    if len(char) > 1:
        if any(unicodedata.combining(one) for one in char):
            return 'holds a combining character: {}'.format(name_of(char))
        return 'holds {} characters, not one: {}'.format(
            len(char), name_of(char))
    if unicodedata.combining(char):
        return 'is a combining character: {}'.format(name_of(char))
    if unicodedata.category(char) in ('Cc', 'Cf', 'Cs', 'Cn', 'Co'):
        return 'is no printable character: {}'.format(name_of(char))
    return None


def check_characters(characters, where='dictionary', accept=()):
    """Raises DictionaryError at the first fault; `where` begins the message.

    Args:
        characters(list[str]): one entry a line.
        where(str): name of the file.
        accept(set[str]): characters that may stand although they would be
            refused. A model that was trained with them has a class for them.
    """
    places = {}
    for number, char in enumerate(characters, 1):
        fault = None if char in accept else _fault(char)
        if fault:
            raise DictionaryError('{}, line {} {}'.format(where, number,
                                                          fault))
        if char in places:
            raise DictionaryError('{}, line {} repeats line {}: {}'.format(
                where, number, places[char], name_of(char)))
        places[char] = number


def read_dictionary(path, accept=()):
    """The characters of a dictionary, in the order of their ids.

    Args:
        path(str): UTF-8 text, one character a line; the last line may lack
            its line feed.
        accept(set[str]): see `check_characters`.
    Returns:
        list[str]: line i has the id i in the decoder's list without blank.
    Raises:
        DictionaryError: a line that is no UTF-8, empty, longer than one
            character, combining, white space (U+3000 excepted), with a byte
            order mark or a carriage return, or there twice.
    """
    with open(path, 'rb') as stream:
        data = stream.read()
    if not data:
        raise DictionaryError('{} is empty'.format(path))
    lines = data.split(b'\n')
    if lines[-1] == b'':
        lines.pop()
    characters = []
    for number, line in enumerate(lines, 1):
        try:
            characters.append(line.decode('utf-8'))
        except UnicodeDecodeError:
            raise DictionaryError('{}, line {} is no UTF-8: {}'.format(
                path, number, line[:16].hex()))
    check_characters(characters, path, accept)
    return characters


def write_dictionary(path, characters, accept=()):
    """Writes one character a line, checked, in UTF-8 with line feeds.

    The file is written beside `path` and renamed, so that an interrupted run
    leaves the old one.
    """
    check_characters(characters, path, accept)
    beside = '{}.{}.part'.format(path, os.getpid())
    try:
        with open(beside, 'wb') as stream:
            stream.write(('\n'.join(characters) + '\n').encode('utf-8'))
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def grow(old, add, where='added characters'):
    """`old` with those of `add` behind it that it lacks, in their order.

    Args:
        old(list[str]): characters of a dictionary; their ids stay.
        add(iterable[str]): single characters; what `old` has is left out, a
            repetition within `add` is an error.
    Returns:
        list[str]
    """
    add = list(add)
    check_characters(add, where)
    held = set(old)
    return list(old) + [char for char in add if char not in held]


def check_grown(old, new, where='dictionary'):
    """Raises DictionaryError unless `new` begins with `old`, line by line."""
    for number, char in enumerate(old, 1):
        if number > len(new):
            raise DictionaryError(
                '{} ends after line {}, the old one has {} at line {}'.format(
                    where, len(new), name_of(char), number))
        if new[number - 1] != char:
            raise DictionaryError(
                '{}, line {} is {}, but {} in the old one: characters keep '
                'their lines, new ones go to the end'.format(
                    where, number, name_of(new[number - 1]), name_of(char)))


def read_table(path=TABLE_PATH):
    """The 8105 characters of the table, in its order (number i at i - 1)."""
    characters = read_dictionary(path)
    if len(characters) != TIERS[-1][1]:
        raise DictionaryError('{} has {} characters, not {}'.format(
            path, len(characters), TIERS[-1][1]))
    return characters


def tiers(path=TABLE_PATH):
    """{character: 1, 2 or 3} for the 8105 characters of the table."""
    characters = read_table(path)
    return {
        char: tier
        for tier, (first, last) in enumerate(TIERS, 1)
        for char in characters[first - 1:last]
    }
