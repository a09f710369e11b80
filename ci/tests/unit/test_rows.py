"""Rows of models.toml as the scripts of the sweeps read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proving import rows


def test_a_row_is_found_and_a_missing_or_skipped_one_says_so(tmp_path: Path):
    path = tmp_path / "models.toml"
    path.write_text('[[row]]\nid = "net"\n\n[[row]]\nid = "other"\nuntrainable = "it has no loss"\n')
    assert rows.read_row(str(path), "net") == {"id": "net"}
    with pytest.raises(SystemExit, match="other is not swept: it has no loss"):
        rows.read_row(str(path), "other")
    with pytest.raises(SystemExit, match="no row 'nett' .* the rows are: net, other"):
        rows.read_row(str(path), "nett")


def test_the_config_is_the_suites_or_ours_or_a_message(tmp_path: Path):
    suite, own = tmp_path / "suite.yml", tmp_path / "own.yml"
    with pytest.raises(SystemExit, match=r"row net needs .*suite.yml; next: run it on the fork \(make fork-seg\)"):
        rows.config_file({"id": "net"}, str(suite), str(own), "make fork-seg")
    own.write_text("")
    assert rows.config_file({"id": "net"}, str(suite), str(own), "make fork-seg") == str(own)
    suite.write_text("")
    assert rows.config_file({"id": "net"}, str(suite), str(own), "make fork-seg") == str(suite)


def test_weights_are_taken_out_wherever_they_stand():
    config = {"pretrained": "url", "backbone": {"type": "ResNet", "pretrained": "url"}, "models": [{"pretrained": "url"}]}
    rows.replace_keys(config, {"pretrained": None})
    assert config == {"pretrained": None, "backbone": {"type": "ResNet", "pretrained": None}, "models": [{"pretrained": None}]}
