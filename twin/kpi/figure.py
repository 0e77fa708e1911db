"""The figures of ISO 22400-2 from what was measured of a row.

With PBT' = PBT - unknown time and, of each product i, the planned run time of a unit PRU_i:
availability = APT / PBT', effectiveness = sum PRU_i PQ_i / APT, quality ratio = sum PRU_i GQ_i /
sum PRU_i PQ_i (of one product GQ / PQ), and OEE = sum PRU_i GQ_i / PBT', their product.
"""

from plant.model.signal import Label
from twin.kpi.kpi import Failures, Kpi, Loss, Measured, Times

COVERAGE = 0.8
"""With less of the planned time known than this there are no figures, only the reason why."""


def figure(row: Measured) -> Kpi:
    """The figures of a row."""
    t = row.times
    coverage = t.known / t.pbt if t.pbt else 1.0
    count_coverage = (row.readable / t.known if t.known else 1.0) if row.counted else None
    no_time = _no_time(t, coverage)
    no_count = no_time or _no_count(row, count_coverage)
    pq = sum(p.pq for p in row.products) if row.counted else None
    measured = row.quality_source is not None
    gq = sum(p.gq or 0 for p in row.products) if row.counted and measured else None
    planned = sum((p.pru or 0) * p.pq for p in row.products)
    earned = sum(p.earned for p in row.products)
    timed, counted = no_time is None, no_count is None
    effectiveness = _ratio(planned, t.apt) if counted else None
    quality = _ratio(earned, planned) if counted and measured else None
    oee = _ratio(earned, t.known) if counted else None
    return Kpi(
        name=row.name,
        key=row.key,
        start=row.start,
        end=row.end,
        times=t,
        coverage=coverage,
        count_coverage=count_coverage,
        pq=pq,
        gq=gq,
        pq_unknown=row.pq_unknown,
        pq_outside=row.pq_outside,
        availability=_ratio(t.apt, t.known) if timed else None,
        effectiveness=effectiveness,
        quality=quality,
        oee=oee,
        nee=_ratio(t.aupt * earned, t.known * t.apt) if counted else None,
        utilization=_ratio(t.apt, t.aubt) if timed else None,
        technical_efficiency=_ratio(t.apt, t.apt + t.adet) if timed else None,
        allocation=_ratio(t.aubt, t.known) if timed else None,
        setup_rate=_ratio(t.asut, t.aupt) if timed else None,
        scrap_ratio=_ratio(pq - gq, pq) if counted and pq is not None and gq is not None else None,
        throughput_per_h=_ratio((pq or 0) * 3_600_000, t.aubt) if counted else None,
        quality_source=row.quality_source,
        quality_note=None if measured or not row.counted else NOT_MEASURED,
        why_not=no_count,
        notes=row.notes,
        products=tuple(row.products),
        losses=_losses(row, planned, earned, counted=counted),
        stops=tuple(sorted(row.stops, key=lambda s: (-s.ms, s.code))),
        failures=_failures(row) if timed else None,
        shift=row.shift,
        day=row.day,
    )


NOT_MEASURED = Label(
    "此处不检验质量:OEE 按质量率 1 计算", "quality is not measured here: OEE counts it as 1"
)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _no_time(t: Times, coverage: float) -> Label | None:
    if not t.pbt:
        return Label("此时段无计划生产时间", "no time is planned here")
    if coverage < COVERAGE:
        share = f"{int(coverage * 1000) / 10:g}"  # rounded down: 79.97 % is no 80
        return Label(
            f"计划时间中仅有 {share} % 有数据(至少需要 80 %)",
            f"only {share} % of the planned time has data (80 % are needed)",
        )
    return None


def _no_count(row: Measured, coverage: float | None) -> Label | None:
    if coverage is None:
        return Label("此处没有工件计数", "nothing counts parts here")
    if coverage < COVERAGE:
        share = f"{int(coverage * 1000) / 10:g}"
        return Label(
            f"计数器仅在 {share} % 的时间内可读(至少需要 80 %)",
            f"the counter could be read in only {share} % of the time (80 % are needed)",
        )
    for p in row.products:
        if p.pru is None and p.pq:
            return Label(
                f"未给出 {p.name.zh} 的计划节拍(cycle_s)",
                f"no planned run time (cycle_s) is given for {p.name.en}",
            )
    return None


LOSS_LABELS = {
    "unknown": Label("无数据", "No data"),
    "setup": Label("换型调整", "Set-up"),
    "maintenance": Label("维修保养", "Maintenance"),
    "malfunction": Label("设备故障", "Malfunction"),
    "minor": Label("短暂停机", "Minor stops"),
    "starved": Label("待料", "Starved"),
    "blocked": Label("堵料", "Blocked"),
    "suspended": Label("等待", "Waiting"),
    "material": Label("物料", "Material"),
    "organisation": Label("组织", "Organisation"),
    "quality": Label("质量停机", "Stops for quality"),
    "other": Label("其他", "Other"),
    "unexplained": Label("原因不明", "Unexplained"),
    "speed": Label("速度损失", "Speed"),
    "scrap": Label("废品", "Scrap"),
}
"""Names of the waterfall's steps, in their order."""


def _losses(row: Measured, planned: int, earned: int, *, counted: bool) -> tuple[Loss, ...]:
    lost = {key: ms for key, (_, ms) in row.lost.items()}
    if counted:
        lost |= {"speed": row.times.apt - planned, "scrap": planned - earned}
    return tuple(Loss(k, name, lost[k]) for k, name in LOSS_LABELS.items() if lost.get(k))


def _failures(row: Measured) -> Failures:
    apt_s = row.times.apt / 1000
    some = Label(
        "平均故障间隔 = 生产时间(APT)÷ 故障次数,未结束的一段按右截尾处理;"
        "平均修复时间 = 故障时间 ÷ 修复次数",
        "MTBF = producing time (APT) / failures, the running one right-censored; "
        "MTTR = time of failures / repairs that ended",
    )
    none = Label(
        "未见故障:平均故障间隔至少为生产时间(APT)",
        "no failure was seen: MTBF is at least the producing time (APT)",
    )
    return Failures(
        failures=row.failures,
        repairs=row.repairs,
        mtbf_s=apt_s / row.failures if row.failures else apt_s or None,
        mttr_s=row.failed_ms / 1000 / row.repairs if row.repairs else None,
        at_least=not row.failures,
        estimator=some if row.failures else none,
    )
