"""Sparsemax and entmax against the package that the authors of the papers publish: values and gradients."""

import pytest
import torch
from entmax import entmax15, entmax_bisect, sparsemax
from normaliser_forms import build


def bisect(alpha):
    return "entmax", {"alpha": alpha}, lambda z: entmax_bisect(z, alpha, dim=-1, n_iter=80)


PUBLISHED = {
    "sparsemax": ("sparsemax", {}, lambda z: sparsemax(z, dim=-1)),
    "entmax15": ("entmax", {"alpha": 1.5}, lambda z: entmax15(z, dim=-1)),
    **{f"entmax_bisect-{alpha}": bisect(alpha) for alpha in (1.2, 1.5, 1.75, 2.0, 3.0)},
}


@pytest.mark.parametrize("which", PUBLISHED)
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("size", [1, 2, 9, 60])
def test_values_and_gradients_are_those_of_the_published_package(which, scale, size):
    name, options, published = PUBLISHED[which]
    random = torch.Generator().manual_seed(size)
    logits = scale * torch.randn(4, 6, size, generator=random).double()
    above = torch.randn(4, 6, size, generator=random).double()
    results = []
    for function in (build(name, options), published):
        leaf = logits.clone().requires_grad_()
        weights = function(leaf)
        results.append((weights, torch.autograd.grad((weights * above).sum(), leaf)[0]))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("which", PUBLISHED)
def test_in_float32_too(which):
    name, options, published = PUBLISHED[which]
    logits = 2 * torch.randn(50, 4, 30, generator=torch.Generator().manual_seed(0))
    # [x − τ]₊^{1/(α−1)} has an infinite slope at the edge of the support for α above 2.
    bound = 2e-6 if options.get("alpha", 2) <= 2 else 1e-3
    torch.testing.assert_close(build(name, options, torch.float32)(logits), published(logits), rtol=0, atol=bound)
