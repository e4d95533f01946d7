from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from trml_export.backbone.folding import fold_batch_norms

PIXELS = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))


def normed(norm):
    """Give a norm statistics of its own, so that it does something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for tensor in norm.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 2)
    return norm.eval()


def convolution(**arguments):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Conv2d(3, 3, 3, padding=1, **arguments)


def norms(tower):
    return sum(isinstance(module, nn.BatchNorm2d) for module in tower.modules())


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [convolution(bias=False), normed(nn.BatchNorm2d(3))],
        lambda: [convolution(), normed(nn.BatchNorm2d(3)), nn.ReLU()],
        lambda: [convolution(groups=3), normed(nn.BatchNorm2d(3, affine=False))],
    ],
)
def test_a_norm_behind_a_convolution_is_folded_and_nothing_else_changes(layers):
    tower = nn.Sequential(*layers(), nn.Flatten())
    weights = {name: value.clone() for name, value in tower.state_dict().items()}
    folded = fold_batch_norms(tower, PIXELS)
    assert norms(folded) == 0
    torch.testing.assert_close(folded(PIXELS), tower(PIXELS), atol=1e-5, rtol=1e-5)
    for name, value in tower.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_norm_of_timm_leaves_its_activation():
    timm = pytest.importorskip("timm")
    norm = normed(timm.layers.BatchNormAct2d(3, act_layer=nn.ReLU))
    tower = nn.Sequential(convolution(), norm, nn.Flatten())
    folded = fold_batch_norms(tower, PIXELS)
    assert norms(folded) == 0
    assert float(folded(PIXELS).min()) == 0
    torch.testing.assert_close(folded(PIXELS), tower(PIXELS), atol=1e-5, rtol=1e-5)


class _Twice(nn.Module):
    """Reads what a convolution gives beside the norm."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = convolution(), normed(nn.BatchNorm2d(3))

    def forward(self, pixels):
        between = self.convolution(pixels)
        return (between + self.norm(between)).flatten(1)


def test_a_convolution_that_feeds_something_else_too_is_left_alone():
    assert fold_batch_norms(_Twice(), PIXELS) is None


def test_a_norm_that_follows_no_convolution_stays():
    tower = nn.Sequential(
        normed(nn.BatchNorm2d(3)), convolution(), normed(nn.BatchNorm2d(3)), nn.Flatten()
    )
    assert norms(fold_batch_norms(tower, PIXELS)) == 1


def test_a_tower_without_such_norms_is_not_copied():
    assert fold_batch_norms(nn.Sequential(convolution(), nn.Flatten()), PIXELS) is None
