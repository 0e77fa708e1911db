// What the twin tells of a made-up plant: shifts, runs with reasons, OEE. Figures fit the states of plant.mjs.

import { plant, runsOf, stateAt } from "./plant.mjs";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const L = (zh, en) => ({ zh, en });

export const reasons = [
  ["lunch", "午休", "Lunch", "planned"], ["no_order", "无订单", "No order", "planned"], ["tool_change", "换刀", "Tool change", "setup"],
  ["product_change", "换产品", "Product change", "setup"], ["lubrication", "润滑保养", "Lubrication", "maintenance"],
  ["spindle", "主轴故障", "Spindle failure", "malfunction"], ["sensor", "传感器故障", "Sensor failure", "malfunction"],
  ["jam", "卡料", "Jam", "minor"], ["chip_clearing", "清屑", "Chip clearing", "minor"], ["no_material", "缺料", "No material", "material"],
  ["no_operator", "缺人", "No operator", "organisation"], ["measuring", "首件检验", "First-piece inspection", "quality"], ["other", "其他", "Other", "other"],
].map(([code, zh, en, kind]) => ({ code, name: L(zh, en), kind }));
const byCode = new Map(reasons.map((r) => [r.code, r]));
export const products = [
  { id: "housing_a", name: L("电机壳 A", "Housing A"), cycle_s: { lathe: 65, mill: 60 } },
  { id: "housing_b", name: L("电机壳 B", "Housing B"), cycle_s: { lathe: 78, mill: 66 } },
];
const said = [];
const made = [];
const modes = [];
let last = 0;
const now = () => (last = Math.max(Date.now(), last + 1));

export function say(about, person) {
  if (about.end !== null && !(about.end > about.start)) return { error: "the reason ends before it begins" };
  if (about.code !== "" && !byCode.has(about.code)) return { error: `no such reason: ${about.code}` };
  const row = { ...about, end: about.end ?? Infinity, lasting: about.end === null, person, said: now() };
  said.push(row);
  return { said: row.said };
}

export function setProduct(about, person) {
  if (about.product !== "" && !products.some((p) => p.id === about.product)) return { error: `no such product: ${about.product}` };
  made.push({ ...about, person, said: now() });
  return { said: last };
}

export function setMode(about, person) {
  modes.push({ ...about, person, said: now() });
  return { said: last };
}

const newest = (rows, word, at) => {
  const found = new Map();
  for (const row of rows) if (row.start <= at && (row.end ?? Infinity) > at) found.set(row.asset, row);
  return [...found.values()].filter((row) => row[word] !== "");
};
export const modesAt = (at) => newest(modes, "mode", at);
/** A machine makes what its line does. */
export function madeAt(at) {
  const known = newest(made, "product", at);
  const own = new Set(known.map((m) => m.asset));
  const of = (line) => known.find((m) => m.asset === line);
  const rest = plant.assets.filter((a) => a.role === "machine" && !own.has(a.id) && of(a.line) !== undefined);
  return [...known, ...rest.map((a) => ({ ...of(a.line), asset: a.id }))];
}

const producing = (r) => r.state === 6 || r.state === 16;
/** A reason without an end holds until the machine runs again. */
function endOf(s) {
  if (!s.lasting) return s.end;
  return runsOf(s.asset, s.start, Date.now()).find((r) => producing(r) && r.end > s.start)?.start ?? Infinity;
}

const told = (r) => ({ code: r.code, name: byCode.get(r.code)?.name ?? L("", ""), kind: byCode.get(r.code)?.kind ?? "other", note: r.note, person: r.person, said: r.said });

export function runs(asset, start, end, knownAt) {
  const out = runsOf(asset, start, end).map((r) => ({ ...r, start: Math.max(r.start, start), end: Math.min(r.end, end) }));
  return { asset, runs: out.map((r) => {
    const known = said.filter((s) => s.asset === asset && s.start < r.end && endOf(s) > r.start && (knownAt === null || s.said <= knownAt)).sort((a, b) => b.said - a.said);
    const waiting = r.state === 5 ? (asset === "mill" || asset === "lathe" ? "blocked" : "starved") : null;
    const auto = r.state === 2 ? { code: "lunch", name: byCode.get("lunch").name, kind: "planned", note: "", person: "calendar", said: r.start } : null;
    const newest = known[0];
    return { start: r.start, end: r.end, state: r.state, waiting, mode: r.state === 2 ? "maintenance" : "production",
      reason: newest === undefined ? auto : newest.code === "" ? null : told(newest), former: known.slice(1).map(told) };
  }) };
}

export function shifts(start, end) {
  const out = [];
  for (let day = Math.floor((start + 8 * HOUR) / DAY) - 1; day * DAY - 8 * HOUR < end; day++) {
    const zero = day * DAY - 8 * HOUR;
    const date = new Date(day * DAY).toISOString().slice(0, 10);
    out.push({ id: "day", name: L("白班", "Day shift"), crew: "A", date, start: zero + 8 * HOUR, end: zero + 20 * HOUR, breaks: [[zero + 11.75 * HOUR, zero + 12.25 * HOUR]], working: true });
    out.push({ id: "night", name: L("夜班", "Night shift"), crew: "B", date, start: zero + 20 * HOUR, end: zero + 32 * HOUR, breaks: [], working: true });
  }
  return { calendar: true, shifts: out.filter((s) => s.end > start && s.start < end) };
}

function kpi(asset, key, name, start, end) {
  const machine = asset === "housings" ? "lathe" : asset;
  const sum = { 2: 0, 4: 0, 5: 0, 6: 0, 9: 0, 11: 0 };
  const count = { ...sum };
  for (const r of runsOf(machine, start, end)) {
    sum[r.state] += (Math.min(r.end, end) - Math.max(r.start, start)) / 1000;
    count[r.state] += 1;
  }
  const pot = (end - start) / 1000, pdt = sum[2], pbt = pot - pdt, apt = sum[6], cycle = plant.assets.find((a) => a.id === machine)?.cycle_s ?? 60;
  const pq = Math.floor((apt / cycle) * 0.95), gq = Math.floor(pq * 0.975);
  const coverage = (Math.floor(start / (12 * HOUR)) % 7) === 3 ? 0.62 : 0.97;
  const known = coverage >= 0.8;
  const v = (x) => (known ? x : null);
  const losses = [["starved", "待料", "Starved", sum[5] * 0.6], ["blocked", "堵料", "Blocked", sum[5] * 0.4], ["idle", "空闲", "Idle", sum[4]], ["down", "故障停机", "Down", sum[9]],
    ["held", "内因保持", "Held", sum[11]], ["speed", "速度损失", "Slow cycles", apt - pq * cycle], ["scrap", "报废", "Scrap", (pq - gq) * cycle]];
  return {
    key, name, start, end, coverage,
    times: { pot_s: pot, pbt_s: pbt, pdt_s: pdt, aubt_s: apt + sum[4] + sum[5], aupt_s: apt, apt_s: apt, asut_s: 0, adet_s: sum[4] + sum[5] + sum[11], adot_s: sum[9], unknown_s: pot * (1 - coverage) },
    counts: { pq, gq, sq: machine === "gauge" || machine === "lathe" ? pq - gq : null },
    availability: v(apt / pbt), effectiveness: v((pq * cycle) / apt), quality: v(gq / pq), oee: v((gq * cycle) / pbt), nee: v((gq * cycle) / pbt), technical_efficiency: v(apt / (apt + sum[9])), utilization: v(apt / pbt),
    quality_source: { asset: "gauge", signal: "gauge/good_count" },
    why_not: known ? null : L("覆盖率 62 %，低于 80 %：edge1 的数据缺失", "Coverage is 62 %, below 80 %: data of edge1 is missing"),
    products: [{ product: "housing_a", name: products[0].name, pru_s: cycle, pq, gq }],
    losses: known ? losses.map(([k, zh, en, seconds]) => ({ key: k, name: L(zh, en), seconds })) : [],
    stops: [["", "未填写原因", "no reason given", "other", sum[9] * 0.6, count[9]], ["jam", "卡料", "Jam", "minor", sum[11], count[11]], ["no_material", "缺料", "No material", "material", sum[4], count[4]]]
      .filter(([, , , , s]) => s > 0).sort((a, b) => b[4] - a[4]).map(([code, zh, en, kind, seconds, n]) => ({ code, name: L(zh, en), kind, seconds, count: n })),
    mtbf_s: count[9] > 0 ? apt / count[9] : null, mttr_s: count[9] > 0 ? sum[9] / count[9] : null, failures: count[9],
    estimator: L("总生产时间 ÷ 故障次数", "total production time ÷ failures"),
  };
}

export function oee(asset, start, end, by) {
  const line = asset === "housings";
  const rows = by === "shift"
    ? shifts(start, end).shifts.map((s) => kpi(asset, `${s.id}/${s.date}`, L(`${s.date} ${s.name.zh}`, `${s.date} ${s.name.en}`), Math.max(s.start, start), Math.min(s.end, end)))
    : [kpi(asset, "", L("", ""), start, end)];
  return { asset, line, constraint: line ? { asset: "lathe", how: "named" } : null, rows };
}

export { stateAt };
