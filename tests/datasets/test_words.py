"""An argument that is none of the words there are is answered with those."""

import pytest

from uda_seg.datasets import ACDC, BDD100K, IDD, CamVid


@pytest.mark.parametrize("reader", [BDD100K, CamVid, IDD])
def test_an_unknown_split_is_refused(tmp_path, reader):
    with pytest.raises(ValueError, match="a split out of train, val, test, got 'validation'"):
        reader(tmp_path, "validation")


def test_an_unknown_condition_is_refused(tmp_path):
    with pytest.raises(ValueError, match="condition out of fog, night, rain, snow, got 'sun'"):
        ACDC(tmp_path, "sun")
    with pytest.raises(ValueError, match="a split out of train, val, test, got 'all'"):
        ACDC(tmp_path, "fog", "all")
