import json

import pytest

from files import require_same_settings

SETTINGS = {"size": [4, 6], "seed": 0}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "copy" / "made.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**SETTINGS, "more": "than asked for"}))
    return path


def test_the_same_settings_pass(file):
    require_same_settings(file, SETTINGS)


def test_every_other_setting_is_named_with_the_folder(file):
    with pytest.raises(FileExistsError, match=r"seed 0 instead of 1, new None instead of 2") as e:
        require_same_settings(file, {**SETTINGS, "seed": 1, "new": 2})
    assert str(file.parent) in str(e.value)
    assert "size" not in str(e.value)


def test_a_folder_without_the_manifest_is_something_else(file):
    file.unlink()
    with pytest.raises(FileExistsError, match="something else; choose another folder") as error:
        require_same_settings(file, SETTINGS)
    assert str(file.parent) in str(error.value)
