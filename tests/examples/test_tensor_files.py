"""Files of tensors that are damaged, foreign or larger than they look."""

import json
import os
import pickle
import zipfile
from hashlib import sha256 as plain_sha256

import pytest
import torch
from safetensors.torch import save_file

from tensor_files import load_tensors, require_unchanged, sha256


def test_what_was_written_is_read(tmp_path):
    state = {"a": torch.randn(3, 4), "nested": [torch.arange(3), {"b": torch.ones(2) > 0}]}
    torch.save(state, tmp_path / "new.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file({"a": state["a"]}, tmp_path / "a.safetensors")
    for name in ("new.pt", "old.pt"):
        torch.testing.assert_close(load_tensors(tmp_path / name), state, rtol=0, atol=0)
    assert torch.equal(load_tensors(tmp_path / "a.safetensors")["a"], state["a"])


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    state = {"a": torch.randn(40), "step": 3}
    file = tmp_path / "state.pt"
    torch.save(state, file)
    content = file.read_bytes()
    refused = 0
    for bit in range(0, 8 * len(content), 53):  # prime to 8: each bit of a byte has its turn
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            found = load_tensors(file)
        except ValueError as error:
            refused += 1
            assert str(file) in str(error)  # noqa: PT017 (some bits are padding)
        else:
            assert torch.equal(found["a"], state["a"])
            assert found["step"] == 3
    assert refused > 20


def test_torch_itself_would_not_notice(tmp_path):
    file = tmp_path / "state.pt"
    torch.save({"a": torch.zeros(1000)}, file)
    content = bytearray(file.read_bytes())
    place = content.index(bytes(4000)) + 2000
    content[place] ^= 1
    file.write_bytes(content)
    assert torch.load(file, weights_only=True)["a"].any()
    with pytest.raises(ValueError, match=rf"{file}.*data/0 is damaged; write or download it"):
        load_tensors(file)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    file = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert file.stat().st_size < 20_000
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(ValueError, match=rf"{file}, .* unpack to 4000\d\d\d bytes"):
        load_tensors(file)


def lying_safetensors(shape, end):
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


class Malice:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("text.pt", b"expected hello", "torch.load cannot read it"),
        ("empty.pt", b"", "an empty file"),
        ("empty.safetensors", b"", "an empty file"),
        ("text.safetensors", b"expected hello", "header"),
        ("pickle.pt", pickle.dumps({"a": 1}), "torch.load cannot read it"),
        ("code.pt", pickle.dumps(Malice()), "torch.load cannot read it"),
        ("cut.pt", b"PK\3\4" + bytes(99), "the end of the file is missing"),
        (
            "long.safetensors",
            (10**12).to_bytes(8, "little") + b"{}",
            "(header too large|HeaderTooLarge)",
        ),
        (
            "lie.safetensors",
            lying_safetensors([10**12], 4 * 10**12),
            "(not fully covered|MetadataIncompleteBuffer)",
        ),
        ("shape.safetensors", lying_safetensors([10**12], 4), "(invalid shape|TensorInvalidInfo)"),
    ],
)
def test_something_else_is_told_with_its_cause(tmp_path, monkeypatch, name, content, cause):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s)expected tensors in .*{name}, got .*{cause}"):
        load_tensors(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_a_tensor_that_is_more_than_its_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt, .* tensor of 4000000000000 bytes"):
        load_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, suffix):
    file, state = tmp_path / f"a{suffix}", {"a": torch.tensor([1.0, value])}
    save_file(state, file) if suffix == ".safetensors" else torch.save([state], file)
    with pytest.raises(ValueError, match=rf"a\{suffix}, .* has NaN or infinity"):
        load_tensors(file)


@pytest.mark.parametrize("make", ["missing", "mkdir", "fifo"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, make):
    file = tmp_path / "a.pt"
    if make != "missing":
        file.mkdir() if make == "mkdir" else os.mkfifo(file)
    with pytest.raises(FileNotFoundError, match=rf"{file}, .* no (such )?file"):
        load_tensors(file)


def test_a_checksum_tells_a_changed_file(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"weights")
    assert sha256(file) == plain_sha256(b"weights").hexdigest()
    require_unchanged(file, sha256(file))
    checksum = sha256(file)
    file.write_bytes(b"weightr")
    with pytest.raises(ValueError, match=rf"expected {file} as it was written"):
        require_unchanged(file, checksum)
