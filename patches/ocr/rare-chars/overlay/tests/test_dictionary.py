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
"""The dictionary of 8105 characters, through every reader of the suite."""
import hashlib
import os
import sys

import numpy as np
import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..'))
sys.path.insert(0, ROOT)

from ppocr.utils import dictionary

OLD_PATH = os.path.join(ROOT, 'ppocr', 'utils', 'ppocr_keys_v1.txt')
# What issues of the suite list as missing or unread: #887, #8237, #4073,
# #10825, #11554, #15030, #3030, #1808, #4449, #11086, #17554.
LISTED = ('刽笤秫凫誊蟥嘁蛉氹隰埇瀍浉蒗鄠坜埤莿崁仫纡珅琀昊馕滂绰姣尕嫣蕲鄢菡赟昝郃戬亖')


@pytest.fixture(scope='module')
def old():
    return dictionary.read_dictionary(OLD_PATH)


@pytest.fixture(scope='module')
def grown():
    return dictionary.read_dictionary(dictionary.GROWN_PATH)


def test_order_and_count(old, grown):
    assert (len(old), len(grown)) == (6623, 9221)
    assert grown[:len(old)] == old
    table = dictionary.read_table()
    missing = [char for char in table if char not in set(old)]
    # in the order of the table, then what users listed beyond it
    assert len(missing) == 2596
    assert grown[len(old):] == missing + ['氹', '亖']
    assert len(set(grown)) == len(grown)
    assert sum(ord(char) > 0xffff for char in table) == 196
    assert set(table) <= set(grown) and set(LISTED) <= set(grown)


def test_tiers(old):
    tiers = dictionary.tiers()
    assert [list(tiers.values()).count(tier) for tier in (1, 2, 3)] == [
        3500, 3000, 1605
    ]
    held = set(old)
    assert [
        sum(tiers[char] == tier and char not in held for char in tiers)
        for tier in (1, 2, 3)
    ] == [1, 1098, 1497]
    # ends of the tiers in the published table
    assert [tiers[char] for char in '一矗乂齉亍蠼'] == [1, 1, 2, 2, 3, 3]
    # the table of Unicode 14 and 15, sorted by number
    digest = hashlib.sha256(''.join(tiers).encode('utf-8')).hexdigest()
    assert digest == '7a74be6ba0e31be97d5ccc3c93acc6a1329a8b97d99f3f476c18c93ca66dba9f'


def test_ctc_round_trip(grown):
    from ppocr.data.imaug.label_ops import CTCLabelEncode
    from ppocr.postprocess.rec_postprocess import CTCLabelDecode
    encode = CTCLabelEncode(
        max_text_length=25,
        character_dict_path=dictionary.GROWN_PATH,
        use_space_char=True)
    decode = CTCLabelDecode(
        character_dict_path=dictionary.GROWN_PATH, use_space_char=True)
    assert encode.character == decode.character
    assert encode.character == ['blank'] + grown + [' ']
    # every character through both, 25 a line; a blank between repeats
    for start in range(0, len(grown), 25):
        text = ''.join(grown[start:start + 25])
        data = encode({'label': text})
        length = int(data['length'])
        assert length == len(text)
        ids = data['label'][:length]
        assert decode.decode(ids[None, :])[0][0] == text
        scores = np.zeros([1, 2 * length, len(encode.character)], 'float32')
        scores[0, np.arange(length) * 2, ids] = 1
        scores[0, np.arange(length) * 2 + 1, 0] = 1
        assert decode(scores)[0][0] == text


def test_old_ids_stay(old):
    from ppocr.postprocess.rec_postprocess import CTCLabelDecode
    was = CTCLabelDecode(OLD_PATH, use_space_char=True)
    now = CTCLabelDecode(dictionary.GROWN_PATH, use_space_char=True)
    assert now.character[:len(old) + 1] == was.character[:len(old) + 1]
    # the readers put the space behind the last line: it alone moves
    assert was.dict[' '] == len(old) + 1
    assert now.dict[' '] == len(now.character) - 1


@pytest.mark.parametrize('name', ['NRTR', 'SAR', 'Attn', 'SEED', 'ViTSTR',
                                  'ABINet', 'PREN', 'CPPD', 'ParseQ'])
def test_other_readers_agree(name, grown):
    """Encoder and decoder of each kind give a character the same id."""
    from ppocr.data.imaug import label_ops
    from ppocr.postprocess import rec_postprocess
    encoder = getattr(label_ops, name + 'LabelEncode', None)
    decoder = getattr(rec_postprocess, name + 'LabelDecode', None)
    if encoder is None or decoder is None:
        pytest.skip('this release has no {}'.format(name))
    encode = encoder(
        max_text_length=25,
        character_dict_path=dictionary.GROWN_PATH,
        use_space_char=True)
    decode = decoder(
        character_dict_path=dictionary.GROWN_PATH, use_space_char=True)
    ids = {char: number for number, char in enumerate(decode.character)}
    wrong = [c for c in grown if encode.dict[c] != ids[c]]
    assert not wrong, wrong[:5]


def test_line_reader_of_cpp_and_android(grown):
    """std::getline and BufferedReader.readLine split at line feeds alone and
    at CR, LF; no line may hold anything else that a reader takes for an end,
    and no character may be cut: each line is decoded as a whole."""
    with open(dictionary.GROWN_PATH, 'rb') as stream:
        data = stream.read()
    assert data.endswith(b'\n') and b'\r' not in data
    assert data.decode('utf-8').splitlines() == grown
    longest = max(len(char.encode('utf-8')) for char in grown)
    assert longest == 4


def write(tmp_path, data):
    path = str(tmp_path / 'dict.txt')
    with open(path, 'wb') as stream:
        stream.write(data if isinstance(data, bytes) else data.encode('utf-8'))
    return path


@pytest.mark.parametrize('data, message', [
    ('一\n二\n一\n', r'line 3 repeats line 1: 一 \(U\+4E00\)'),
    ('\ufeff一\n二\n', r'line 1 begins with a byte order mark'),
    ('一\r\n二\r\n', r'line 1 ends in a carriage return'),
    ('一\n \n', r'line 2 is a space'),
    ('一\n二 \n', r'line 2 holds white space: .*U\+4E8C U\+0020'),
    ('一\n\t\n', r'line 2 holds white space: \(U\+0009\)'),
    ('一\n\n二\n', r'line 2 is empty'),
    ('一\ne\u0301\n', r'line 2 holds a combining character: .*U\+0065 U\+0301'),
    ('一\n\u0301\n', r'line 2 is a combining character: .*U\+0301'),
    ('一\n二三\n', r'line 2 holds 2 characters, not one: 二三'),
    ('一\n葛\U000e0100\n', r'line 2 holds .*U\+845B U\+E0100'),
    ('一\n\u200b\n', r'line 2 is no printable character: .*U\+200B'),
    ('一\n\ue000\n', r'line 2 is no printable character: .*U\+E000'),
    (b'\xe4\xb8\x80\n\xed\xa1\x80\xed\xb4\x80\n', r'line 2 is no UTF-8'),
    ('一\n二\n'.encode('utf-16'), r'line 1 is no UTF-8'),
    ('一\n镕\n'.encode('gb18030'), r'line 2 is no UTF-8'),
    (b'', r'is empty'),
])
def test_bad_dictionary(tmp_path, data, message):
    with pytest.raises(dictionary.DictionaryError, match=message):
        dictionary.read_dictionary(write(tmp_path, data))


def test_last_line_without_line_feed(tmp_path):
    assert dictionary.read_dictionary(write(tmp_path, '一\n二')) == ['一', '二']


def test_another_order(old, grown):
    swapped = list(grown)
    swapped[9], swapped[10] = swapped[10], swapped[9]
    with pytest.raises(dictionary.DictionaryError, match='line 10 is'):
        dictionary.check_grown(old, swapped)
    with pytest.raises(dictionary.DictionaryError, match='ends after line 10'):
        dictionary.check_grown(old, old[:10])
    dictionary.check_grown(old, grown)


def test_grow(old):
    new = dictionary.grow(old, ['鄠', old[0], '𬭚'])
    assert new == old + ['鄠', '𬭚']
    assert dictionary.grow(new, ['鄠']) == new
    with pytest.raises(dictionary.DictionaryError, match='line 2 repeats'):
        dictionary.grow(old, ['鄠', '鄠'])


def test_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path, '一\n')
    with pytest.raises(dictionary.DictionaryError):
        dictionary.write_dictionary(path, ['一', '一'])
    assert dictionary.read_dictionary(path) == ['一']
    dictionary.write_dictionary(path, ['一', '二'])
    assert dictionary.read_dictionary(path) == ['一', '二']
    assert os.listdir(str(tmp_path)) == ['dict.txt']
