"""What README shows runs, and what it links to is there."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_ten_lines_train_a_network():
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
    model = torch.nn.Conv2d(3, 19, 1)
    before = model.weight.clone()
    images, labels = torch.rand(2, 3, 32, 64), torch.randint(19, (2, 32, 64))
    namespace = {
        "source_loader": [(images, labels)],
        "target_loader": [torch.rand(2, 3, 32, 64)],
        "normalize": torch.nn.Identity(),
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
    }
    exec(code, namespace)
    assert not torch.equal(model.weight, before)
    assert not torch.equal(namespace["images"], images)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))))
def test_a_link_leads_to_a_file_and_a_heading(link):
    path, _, anchor = link.partition("#")
    text = (ROOT / path).read_bytes().decode(errors="replace")
    headings = re.findall(r"^#+ (.*)", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors
