"""Steps of an experiment that train and probe: networks on images, and the deep linear networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.records import SmoothnessTrace
from landscape.records.base import FloatArray
from landscape.smoothness import MEASURES, compare_traces, find_panels, trace_windows, windowed
from landscape.smoothness.deep_linear import DeepLinearConfig
from landscape.tasks.deep_linear import smoothness_of_deep_linear
from landscape.tasks.experiment_steps import DATA_KEYS, KINDS, Bench, Kind, Number, Outcome
from landscape.tasks.settings import known_keys, made
from landscape.tasks.smoothness import SmoothnessConfig, WrittenSmoothness, smoothness_from_training
from landscape.training import TrainConfig

_LATE = 0.9  # of the probes: training accuracy is the mean over those after it
_EARLY = 1000  # steps over which the paper's deep linear figure is read
_PROBES = known_keys(SmoothnessConfig, TrainConfig, without=("model", "seed", "data", "device", "out", "shared"))
_LINEAR = (*known_keys(DeepLinearConfig, without=("model", "seed", "device")), "models", "seeds")


def _smoothness(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    data = made(DataOptions, settings)
    rest = {"learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0} | dict(settings)  # the paper's
    shared = made(TrainConfig, rest, data=data, device=bench.device, out=bench.folder)
    config = made(SmoothnessConfig, settings, shared=shared)
    written = smoothness_from_training(config, command=bench.command, progress=bench.report)
    return _outcome(written, trace_numbers(written.traces))


def _deep_linear(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    lists = {"models": ["dln", "dln_bn"], "seeds": [0]} | dict(settings)
    configs = [
        made(DeepLinearConfig, settings, model=model, seed=seed)
        for model in _several("models", lists["models"])
        for seed in _several("seeds", lists["seeds"])
    ]
    written = smoothness_of_deep_linear(configs, bench.folder, command=bench.command, progress=bench.report)
    return _outcome(written, trace_numbers(written.traces) | logarithms(written.traces))


def _several(name: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise UsageError(f"{name} is a list of at least one; got {values!r}")
    return values


def _outcome(written: WrittenSmoothness, numbers: Mapping[str, Number]) -> Outcome:
    said = " ".join(ratio.sentence() for _, ratios in _ratios(written.traces) for ratio in ratios)
    made_on = written.traces[0].environment
    return Outcome(numbers, (*written.files, written.image), written.page, said=said, environment=made_on)


KINDS.add("smoothness", Kind(_smoothness, (*_PROBES, *DATA_KEYS)))
KINDS.add("deep-linear", Kind(_deep_linear, _LINEAR))


def _by_model(traces: Sequence[SmoothnessTrace]) -> dict[str, list[SmoothnessTrace]]:
    found: dict[str, list[SmoothnessTrace]] = {}
    for trace in traces:
        found.setdefault(str(trace.recipe["model"]), []).append(trace)
    return found


def _ratios(traces: Sequence[SmoothnessTrace]) -> Iterator[tuple[str, Any]]:
    models = _by_model(traces)
    for panel in find_panels(list(models)):
        if panel.without is not None and panel.with_bn is not None:
            try:
                ratios = compare_traces(models[panel.without], models[panel.with_bn])
            except UsageError:  # one of them ended early: there is no ratio over other steps
                continue
            yield panel.without, ratios


def trace_numbers(traces: Sequence[SmoothnessTrace]) -> dict[str, Number]:
    """Name the numbers of probed runs.

    Args:
        traces: One per network and seed.

    Returns:
        For every measure ``MEASURE.MODEL`` (mean over the run, over the seeds), ``MEASURE.MODEL.WINDOW``, the same with
        ``median.`` and ``max.`` before it, ``start.MEASURE.MODEL`` (first probe), ``ratio.MEASURE.MODEL`` without/with
        BatchNorm by the name of the network without; ``accuracy.MODEL`` of the last tenth of the probes;
        ``shift.MODEL.LAYER`` and ``cosine.MODEL.LAYER``, medians over the run, by the layers' names as they were asked
        for: the fifth layer of two networks may have two names.
    """
    found: dict[str, Number] = {}
    for model, own in _by_model(traces).items():
        for name, measure in MEASURES.items():
            values = [measure(trace) for trace in own]
            found[f"start.{name}.{model}"] = Number.over([v[0] for v in values])
            found[f"max.{name}.{model}"] = Number.over([_largest(v) for v in values])
            windows = trace_windows(max(own, key=lambda trace: len(trace.step)))  # a run may have ended early
            tables = [windowed(trace.step, v, windows) for trace, v in zip(own, values, strict=True)]
            for number, row in enumerate(zip(*tables, strict=True)):
                key = f"{name}.{model}" if number == 0 else f"{name}.{model}.{row[0].name}"
                found[key] = Number.over([w.mean for w in row])
                found[f"median.{key}"] = Number.over([w.median for w in row])
        late = [trace.accuracy[int(_LATE * len(trace.accuracy)) :] for trace in own]
        found[f"accuracy.{model}"] = Number.over([float(a.mean()) for a in late])
        found |= dict(_shifts(model, own))
    for model, ratios in _ratios(traces):
        for ratio in ratios:
            for number, window in enumerate(ratio.windows):
                key = f"ratio.{ratio.measure}.{model}" + (f".{window}" if number else "")
                for name, (mean, deviation) in ((key, ratio.mean(number)), (f"median.{key}", ratio.median(number))):
                    found[name] = Number(mean, deviation, len(ratio.seeds))
    return found


def _largest(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")


def _shifts(model: str, traces: Sequence[SmoothnessTrace]) -> Iterator[tuple[str, Number]]:
    for k, layer in enumerate(traces[0].recipe["probe"]["layers"]):
        for name, field in (("shift", "covariate_shift"), ("cosine", "covariate_cosine")):
            medians = [float(np.nanmedian(getattr(trace, field)[:, k])) for trace in traces]
            yield f"{name}.{model}.{layer}", Number.over(medians)


def logarithms(traces: Sequence[SmoothnessTrace]) -> dict[str, Number]:
    """Read the deep linear networks as the paper's figure shows them: medians of decimal logarithms, early steps.

    Args:
        traces: One per network and seed.

    Returns:
        ``log10_loss.MODEL`` and ``log10_gradient.MODEL`` of the upper edges over the step sizes, ``log10_beta.MODEL``,
        and ``max.log10_beta.MODEL``. A value that is not finite counts as infinite: the run diverged there.
    """
    found: dict[str, Number] = {}
    for model, own in _by_model(traces).items():
        columns: dict[str, list[float]] = {}
        for trace in own:
            early = trace.step <= _EARLY
            edges = {"loss": trace.loss.max(axis=1), "gradient": trace.gradient_distance.max(axis=1)}
            for name, values in (edges | {"beta": trace.beta_smoothness}).items():
                with np.errstate(divide="ignore"):
                    logs = np.log10(np.where(np.isnan(values[early]), np.inf, values[early]))
                columns.setdefault(f"log10_{name}.{model}", []).append(float(np.median(logs)))
                columns.setdefault(f"max.log10_{name}.{model}", []).append(float(logs.max()))
        found |= {name: Number.over(values) for name, values in columns.items()}
    return found
