"""The networks of several probed runs: seeds of one network together, a name and a colour for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from landscape.errors import UsageError
from landscape.figures.data import WITH_BN, WITHOUT_BN, fact_text, number
from landscape.records import SmoothnessTrace
from landscape.smoothness.published import published

# Normalizations beside plain BatchNorm, in colours that stay apart from the two of every page.
_OTHERS = {"_noisy_bn": "#8b5fbf", "_l1": "#3a9a6b", "_l2": "#b8557f", "_linf": "#8a8d2f"}
_MORE = ("#5c6670", "#a3683a", "#2f9ea3", "#d0a400")
_APART = (
    "learning_rate",
    "optimizer",
    "batch_size",
    "weight_decay",
    "loss",
    "scheduler",
    "scheduler_options",
    "grad_clip",
    "augment",
    "precision",
    "epochs",
    "validation",
    "model_options",
    "data",
)  # fmt: skip - settings that make two runs of one model two networks
# What every recipe says, and what it says only where it is in use, with the values of a run under the protocol.
_ALWAYS = {"loss": "cross_entropy", "weight_decay": 0.0}
_IN_USE = ("scheduler", "grad_clip", "augment")
_PROBE = {"bn": "batch", "dropout": "off"}
_WORDS = {"grad_clip": "gradient clipping", "augment": "augmentation"}


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """One network under one set of settings, at one or more seeds.

    Args:
        name: The model, and what tells it from others of that model.
        model: The registered name.
        color: Its colour.
        traces: Its traces by increasing seed.
        seeds: Those seeds.
        differences: Where its settings leave the protocol of the published curves; empty where they do not.
    """

    name: str
    model: str
    color: str
    traces: tuple[SmoothnessTrace, ...]
    seeds: tuple[int, ...]
    differences: tuple[str, ...]

    @property
    def ceiling(self) -> float:
        """The value that ``beta_smoothness`` takes once the smallest step removes the gradient: 1 / step size."""
        return 1 / float(self.traces[0].step_size.min())

    @property
    def counterpart(self) -> Literal["with_bn", "without_bn"] | None:
        """The published curve that was measured as this network was; None where there is none."""
        return None if self.differences else "with_bn" if self.model.endswith("_bn") else "without_bn"


def family(model: str) -> str:
    """Name the network without normalization that a network belongs to.

    Args:
        model: Registered name.

    Returns:
        For instance ``vgg`` for ``vgg_noisy_bn``; the name itself for a network without normalization.
    """
    return next((model.removesuffix(end) for end in (*_OTHERS, "_bn") if model.endswith(end)), model)


def is_deep_linear(model: str) -> bool:
    """Say whether a network is the deep linear one, whose figure in the paper has logarithmic axes throughout."""
    return family(model) in {"dln", "deep_linear"}


def networks(traces: Sequence[SmoothnessTrace]) -> tuple[Network, ...]:
    """Put the seeds of each network together.

    Args:
        traces: Traces in any order.

    Returns:
        The networks in the order in which their models come, those without normalization first in their family.

    Raises:
        UsageError: There is no trace, or one run is there twice.
    """
    if not traces:
        raise UsageError("nothing to draw: there is no trace")
    groups: dict[str, list[SmoothnessTrace]] = {}
    for trace in traces:
        groups.setdefault(_identity(trace), []).append(trace)
    names = _names([group[0] for group in groups.values()])
    taken: set[str] = set()
    found = [_network(name, group, taken) for name, group in zip(names, groups.values(), strict=True)]
    families = list(dict.fromkeys(family(net.model) for net in found))
    return tuple(sorted(found, key=lambda net: (families.index(family(net.model)), len(net.model))))


def _network(name: str, group: Sequence[SmoothnessTrace], taken: set[str]) -> Network:
    ordered = sorted(group, key=seed_of)
    seeds = tuple(seed_of(trace) for trace in ordered)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"the run of {name} at seed {next(s for s in seeds if seeds.count(s) > 1)} is there twice")
    model = model_of(ordered[0])
    color = _color(model, taken)
    taken.add(color)
    return Network(name, model, color, tuple(ordered), seeds, protocol_differences(ordered[0]))


def _color(model: str, taken: set[str]) -> str:
    end = model.removeprefix(family(model))
    first = WITHOUT_BN if not end else WITH_BN if end == "_bn" else _OTHERS[end]
    return next((color for color in (first, *_MORE) if color not in taken), first)


def model_of(trace: SmoothnessTrace) -> str:
    """Name the network of a trace."""
    return str(trace.recipe.get("model", "network"))


def seed_of(trace: SmoothnessTrace) -> int:
    """Return the seed of a trace's run."""
    return int(trace.recipe.get("seed", 0))


def probe_of(trace: SmoothnessTrace) -> Mapping[str, Any]:
    """Return the settings of the probe: those under ``probe``, or the recipe of a trace that has no such part."""
    settings = trace.recipe.get("probe")
    return settings if isinstance(settings, Mapping) else trace.recipe


def data_of(trace: SmoothnessTrace) -> Mapping[str, Any]:
    """Return what is recorded of the images: what stands under ``data``, or in a flat recipe."""
    settings = trace.recipe.get("data")
    return settings if isinstance(settings, Mapping) else trace.recipe


def layer_labels(trace: SmoothnessTrace) -> tuple[str, ...]:
    """Name the layers of the covariate shift as they were asked for.

    A position is the same in networks with and without BatchNorm, where the names of modules are not.

    Args:
        trace: The trace.

    Returns:
        ``layer 5`` for a position, else the module's name.
    """
    asked = list(probe_of(trace).get("layers") or ())
    names = [str(name) for name in trace.layer]
    if len(asked) != len(names):
        return tuple(names)
    return tuple(f"layer {a}" if isinstance(a, int) else name for a, name in zip(asked, names, strict=True))


def _identity(trace: SmoothnessTrace) -> str:
    apart = {name: trace.recipe.get(name) for name in _APART}
    return repr((model_of(trace), apart, trace.step_size.tolist()))


def _names(traces: Sequence[SmoothnessTrace]) -> list[str]:
    """Name networks by their model, and where a model comes more than once by what is set otherwise."""
    names = []
    for trace in traces:
        twins = [other for other in traces if model_of(other) == model_of(trace)]
        told = [
            f"{key.replace('_', ' ')} {fact_text(trace.recipe.get(key))}"
            for key in _APART
            if len({repr(other.recipe.get(key)) for other in twins}) > 1
        ]
        if len({repr(other.step_size.tolist()) for other in twins}) > 1:
            told.append(f"η from {number(float(trace.step_size[0]))} to {number(float(trace.step_size[-1]))}")
        names.append(", ".join([model_of(trace), *told]))
    return names


def protocol_differences(trace: SmoothnessTrace) -> tuple[str, ...]:
    """Compare a run with the protocol of the published curves.

    The paper trained VGG on CIFAR-10 with plain SGD at learning rate 0.1, 128 images a step, without augmentation,
    and probed at 1/2, 1, 2 and 4 times the learning rate. Precision and a share held out for validation, as
    ``named_departures`` has them, keep no curve away.

    Args:
        trace: The trace.

    Returns:
        What differs, as ``batch size 64 instead of 128``; empty where the curves may stand side by side.
    """
    protocol = dict(published().protocol)
    recipe = trace.recipe
    differences = [] if model_of(trace) in protocol["model"] else [f"network {model_of(trace)}"]
    differences += _image_differences(data_of(trace), protocol["dataset"])
    expected = {name: protocol[name] for name in ("optimizer", "learning_rate", "batch_size")} | _ALWAYS
    differences += _unequal(recipe, expected)
    differences += [f"{_word(name)} {fact_text(recipe[name])}" for name in _IN_USE if recipe.get(name)]
    options = recipe.get("model_options") or {}
    differences += _unequal({"initialisation": options.get("init")}, {"initialisation": protocol["init"]})
    if options.get("bn_placement", "conv") != "conv":
        differences.append(f"BatchNorm placement {options['bn_placement']} instead of conv")
    differences += [f"probe's {text}" for text in _unequal(probe_of(trace), _PROBE)]
    wanted = protocol["learning_rate"] * np.array(protocol["multiples"])
    if trace.step_size.shape != wanted.shape or not np.allclose(trace.step_size, wanted, rtol=1e-6):
        shown = ", ".join(number(float(size)) for size in trace.step_size)
        differences.append(f"step sizes {shown} instead of {', '.join(number(float(size)) for size in wanted)}")
    return tuple(differences)


def _image_differences(data: Mapping[str, Any], dataset: str) -> list[str]:
    if data.get("dataset") != dataset:
        return [f"data set {data.get('dataset', 'not recorded')} instead of {dataset}"]
    differences = [] if data.get("limit") is None else [f"{data['limit']:,} images instead of all"]
    own = {"split": "train", "image_size": 32, "channels": 3}
    return differences + _unequal(data, {name: own[name] for name in own if data.get(name) is not None})


def _unequal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    return [
        f"{_word(name)} {fact_text(found.get(name))} instead of {fact_text(value)}"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def named_departures(trace: SmoothnessTrace) -> tuple[str, ...]:
    """Name where a run is not as the paper's, although the published curves may stand beside it.

    Args:
        trace: The trace.

    Returns:
        For instance ``in bf16`` and ``without 10 % of the images, held out for validation``.
    """
    recipe, normalization = trace.recipe, data_of(trace).get("normalization", "dataset")
    said = [f"in {recipe['precision']}"] if recipe.get("precision", "fp32") != "fp32" else []
    if share := float(recipe.get("validation") or 0):
        said.append(f"without {100 * share:.3g} % of the images, held out for validation")
    if normalization != "dataset":
        said.append(f"on images normalised by {fact_text(normalization)}")
    return tuple(said)
