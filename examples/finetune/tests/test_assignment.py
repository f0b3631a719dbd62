"""The file's form: what is read is what the compiler reads, and what is written too."""

from __future__ import annotations

from pathlib import Path

import pytest

from trefoil_finetune import Assignment, AssignmentError, FinetuneError, drelus


def test_every_form_is_read_and_written_back() -> None:
    text = '{"a":[2,3],"b":[[0,1],[1,1]],"c":{"lower":[2,2],"upper":[[0,1]]},"d":{"upper":[1,1]}}'
    assert Assignment.parse(text).to_json() == text


def test_all_malformed_entries_are_named_at_once() -> None:
    text = '{"a":[2],"b":[[1,1],[1,-1]],"c":{"high":[1,1]},"ok":[1,1],"ok":[2,2],"e":"1x1","f":[]}'
    with pytest.raises(AssignmentError) as caught:
        Assignment.parse(text)
    assert len(caught.value.faults) == 6
    for name in ("a", "b", "c", "ok", "e", "f"):
        assert f'"{name}"' in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", '{"a": [1, 1]} x'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(AssignmentError):
        Assignment.parse(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"cannot read the assignment.*none\.json"):
        Assignment.load(tmp_path / "none.json")


def test_signs_are_counted_with_their_border_patches() -> None:
    assert drelus([(1, 1), (2, 2), (0, 1), (5, 7), (3, 4)], 5, 7) == 35 + 12 + 0 + 1 + 4
