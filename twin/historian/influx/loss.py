"""Gap records of what a commit brought and the store does not hold."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from plant.flow.port import Commit, Mark, Series
from plant.flow.sample import Gap, SampleBatch
from twin.historian.influx.quarantine import Refusal
from twin.historian.influx.record import Point
from twin.historian.influx.series import Registry


def the_edge(marks: Iterable[Mark]) -> str:
    """The edge that a commit is of, "" where it is of several or none."""
    edges = {mark.edge for mark in marks}
    return edges.pop() if len(edges) == 1 else ""


def without_old(commit: Commit, cut: int | None, declared: Sequence[Series]) -> Commit:
    """Rows older than the retention are not stored; a gap record says so."""
    samples = commit.samples
    if cut is None or not len(samples) or samples.source_time.min() >= cut:
        return commit
    old = samples.take(samples.source_time < cut)
    paths = sorted({declared[i].path for i in np.unique(old.signal).tolist()})
    gap = Gap(
        the_edge(commit.marks),
        int(old.source_time.min()),
        int(old.source_time.max()),
        len(old),
        "older than retention",
        paths,
    )
    kept = samples.take(samples.source_time >= cut)
    return replace(commit, samples=kept, gaps=[*commit.gaps, gap])


def refused_rows(
    rows: SampleBatch, refused: Sequence[Refusal], edge: str, registry: Registry
) -> list[Gap]:
    """Over samples that were quarantined, one a signal and reason."""
    found: dict[tuple[int, str], list[int]] = {}
    for r in refused:
        number, time = int(rows.signal[r.place]), int(rows.source_time[r.place])
        found.setdefault((number, r.reason), []).append(time)
    return [
        Gap(
            edge, min(times), max(times), len(times), f"quarantined: {reason}",
            (registry[number].series.path,),
        )
        for (number, reason), times in found.items()
    ]  # fmt: skip


def refused_records(points: Sequence[Point], edge: str) -> list[Gap]:
    """Over texts, waveforms and events that were quarantined."""
    return [
        Gap(edge, p.time, p.time, 1, f"quarantined: a {p.measurement}", (p.about,)) for p in points
    ]
