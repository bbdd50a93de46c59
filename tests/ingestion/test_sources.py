"""What a file's lines become, as the contract says."""

import hashlib
from pathlib import Path

import pytest

from ingestion.events import Message
from ingestion.sources import FileSource
from pbm.errors import InputError


def messages(path: Path, batch_size: int = 2) -> list[Message]:
    source = FileSource(path, batch_size=batch_size)
    try:
        batches = list(source.batches())
    finally:
        source.close()
    assert all(0 < len(batch.messages) <= batch_size for batch in batches)
    return [message for batch in batches for message in batch.messages]


def test_ids_name_the_file_and_the_line_and_blank_lines_count_but_are_no_messages(
    tmp_path: Path,
) -> None:
    content = b'{"a":1}\n\n \t\r\n{"b":2}\r\nnot json\n\xff\xfe\n{"last":1}'
    file = tmp_path / "events.jsonl"
    file.write_bytes(content)
    prefix = f"file-{hashlib.sha256(content).hexdigest()[:12]}-"
    found = messages(file)
    assert [(m.message_id, m.data) for m in found] == [
        (prefix + "0000000001", b'{"a":1}'),
        (prefix + "0000000004", b'{"b":2}\r'),
        (prefix + "0000000005", b"not json"),
        (prefix + "0000000006", b"\xff\xfe"),
        (prefix + "0000000007", b'{"last":1}'),
    ]
    assert {m.publish_time for m in found} == {found[0].publish_time}
    assert found[0].publish_time.utcoffset() is not None


def test_white_space_of_other_alphabets_is_a_message(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\u00a0\n\x0b\n\x0c\n")
    assert len(messages(file)) == 3


def test_only_lf_ends_a_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"a":"\xe2\x80\xa8"}\r{"b":1}\x0b\x85\n')
    assert len(messages(file)) == 1


def test_an_empty_file_has_no_messages(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.touch()
    assert messages(file) == []


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_what_cannot_be_read_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path if what == "folder" else tmp_path / "missing.jsonl"
    with pytest.raises(InputError) as caught:
        FileSource(path, batch_size=1)
    assert str(path) in caught.value.problem
