// A made-up plant for the development fixture: states and values as functions of time.

const HOUR = 3_600_000;
const L = (zh, en) => ({ zh, en });
const PACKML = {
  0: L("未知", "Unknown"), 2: L("已停止", "Stopped"), 4: L("空闲", "Idle"), 5: L("外因暂停", "Suspended"),
  6: L("运行", "Execute"), 9: L("故障停机", "Aborted"), 11: L("内因保持", "Held"),
};
const sig = (asset, id, zh, en, kind, unit, decimals, more = {}) => ({
  path: `${asset}/${id}`, id, name: L(zh, en), kind, unit, decimals, range: null, states: {}, origin: "edge",
  estimated: false, max_interval: 60, ...more,
});
const state = (a) => sig(a, "state", "状态", "State", "state", "", 0, { states: PACKML, origin: "twin" });
const read = (a) => sig(a, "last_good_read", "最近成功读取", "Last good read", "measurement", "ms", 0);
const energies = (a, estimated) =>
  [["producing", "生产用电", "Energy while producing"], ["waiting", "待机用电", "Energy while waiting"],
    ["stopped", "停机用电", "Energy while stopped"], ["unknown", "状态未知时用电", "Energy in unknown state"]].map(
    ([s, zh, en]) => sig(a, `energy_${s}_kwh`, zh, en, "counter", "kWh", 2, { origin: "analytics", estimated }))
    .concat([sig(a, "energy_per_part_kwh", "单件电量", "Energy per part", "measurement", "kWh", 3, { origin: "analytics", estimated })]);
const parts = (a) => sig(a, "part_count", "产量计数", "Part count", "counter", "", 0);
const power = (a, estimated = false) => sig(a, "power", "功率", "Power", "measurement", "kW", 2, { estimated, range: [0, 40] });
const asset = (id, zh, en, type, cycle_s, signals, more = {}) => ({
  id, name: L(zh, en), type, role: "machine", edge: "edge1", line: "housings", cycle_s,
  signals: [...signals, read(id)], ...more,
});

export const plant = {
  enterprise: "kaikou", site: "demo", name: L("示范工厂", "Demo plant"), timezone: "Asia/Shanghai", simulated: true,
  version: "0.1.0-dev", hash: "fixture",
  lines: [{
    id: "housings", name: L("电机壳线", "Motor housings"), constraint: "lathe",
    flow: [["saw", 8], ["lathe", 4], ["mill", 4], ["washer", 6], ["press", 4], ["gauge", 0]].map(([a, b]) => ({ asset: a, buffer: b })),
  }],
  edges: [{ id: "edge1", name: L("一号网关", "Edge 1") }],
  assets: [
    asset("saw", "锯床", "Saw", "band_saw", 45, [state("saw"),
      sig("saw", "light", "灯塔", "Stack light", "state", "", 0, { states: { 0: L("全灭", "dark"), 1: L("绿", "green"), 2: L("黄闪", "amber blinking"), 3: L("红", "red") } }),
      sig("saw", "current", "电流", "Current", "measurement", "A", 2, { range: [0, 20] }), power("saw", true), parts("saw"), ...energies("saw", true)]),
    asset("lathe", "车床", "Lathe", "lathe", 65, [state("lathe"),
      sig("lathe", "activity", "活动", "Activity", "state", "", 0, { states: { 0: L("关", "off"), 1: L("空转", "idle"), 2: L("加工", "working") } }),
      sig("lathe", "current", "电流", "Current", "measurement", "A", 2, { range: [0, 40] }),
      sig("lathe", "vibration", "振动速度", "Vibration", "measurement", "mm/s", 2, { range: [0, 11.2] }), power("lathe", true), parts("lathe"),
      sig("lathe", "health", "健康指数", "Health index", "measurement", "", 0, { origin: "analytics" }),
      sig("lathe", "health_limit", "健康报警限", "Health alarm limit", "setpoint", "", 0, { origin: "analytics" }),
      sig("lathe", "vibration_baseline", "振动基线", "Vibration baseline", "measurement", "mm/s", 2, { origin: "analytics" }),
      sig("lathe", "vibration_excess", "超出基线", "Above baseline", "measurement", "mm/s", 2, { origin: "analytics" }), ...energies("lathe", true)]),
    asset("mill", "铣床", "Mill", "milling_machine", 60, [state("mill"),
      sig("mill", "machine_state", "机床状态", "Machine state", "state", "", 0, { states: { 0: L("停", "off"), 1: L("就绪", "ready"), 2: L("运行", "running") } }),
      power("mill"), sig("mill", "energy", "电量", "Energy", "counter", "kWh", 2), parts("mill"),
      sig("mill", "spindle_speed", "主轴转速", "Spindle speed", "measurement", "1/min", 0, { range: [0, 8000] }), ...energies("mill", false)]),
    asset("washer", "清洗机", "Washer", "washer", 55, [state("washer"),
      sig("washer", "tank_temperature", "槽温", "Tank temperature", "measurement", "degC", 1, { range: [50, 70] }),
      power("washer"), sig("washer", "energy", "电量", "Energy", "counter", "kWh", 2), parts("washer"), ...energies("washer", false)]),
    asset("press", "压装机", "Press", "press", 40, [state("press"),
      sig("press", "pressure", "压力", "Pressure", "measurement", "bar", 0, { range: [0, 250] }),
      sig("press", "oil_temperature", "油温", "Oil temperature", "measurement", "degC", 1, { range: [0, 60] }),
      power("press"), sig("press", "energy", "电量", "Energy", "counter", "kWh", 2), parts("press"), ...energies("press", false)]),
    asset("gauge", "检具", "Gauge", "gauge", 30, [state("gauge"),
      sig("gauge", "good_count", "合格计数", "Good count", "counter", "", 0), sig("gauge", "reject_count", "不合格计数", "Reject count", "counter", "", 0)]),
    asset("compressor", "空压机", "Compressor", "compressor", null, [state("compressor"), power("compressor"),
      sig("compressor", "energy", "电量", "Energy", "counter", "kWh", 1),
      sig("compressor", "pressure", "压力", "Pressure", "measurement", "bar", 2, { range: [5.5, 8] }),
      sig("compressor", "voltage", "电压", "Voltage", "measurement", "V", 1), sig("compressor", "current", "电流", "Current", "measurement", "A", 1)],
      { role: "utility", line: null }),
    asset("incomer", "进线", "Incomer", "incomer", null, [{ ...power("incomer"), range: null }, sig("incomer", "energy", "电量", "Energy", "counter", "kWh", 1),
      ...["a", "b", "c"].flatMap((p) => [sig("incomer", `voltage_${p}`, `${p.toUpperCase()}相电压`, `Voltage ${p.toUpperCase()}`, "measurement", "V", 1),
        sig("incomer", `current_${p}`, `${p.toUpperCase()}相电流`, `Current ${p.toUpperCase()}`, "measurement", "A", 1)])], { role: "meter", line: null }),
    { ...asset("unassigned", "未分摊", "Unassigned", "unassigned", null, []), role: "meter", line: null, edge: null,
      signals: [power("unassigned", true), sig("unassigned", "energy", "电量", "Energy", "counter", "kWh", 1, { estimated: true })].map((s) => ({ ...s, origin: "analytics" })) },
    { ...asset("housings", "电机壳线", "Motor housings", "line", null, []), role: "line", line: null, edge: null,
      signals: [state("housings"), sig("housings", "good_count", "合格", "Good", "counter", "", 0), sig("housings", "reject_count", "不合格", "Reject", "counter", "", 0),
        ...["saw", "lathe", "mill", "washer", "press"].map((a) => sig("housings", `buffer_${a}`, "缓冲", "Buffer", "measurement", "", 0, { estimated: true }))].map((s) => ({ ...s, origin: "twin" })) },
    { ...asset("edge1", "一号网关", "Edge 1", "edge", null, [sig("edge1", "outbox_rows", "待发行数", "Outbox rows", "measurement", "", 0),
      sig("edge1", "samples_per_s", "采样率", "Samples per second", "measurement", "1/s", 0)]), role: "edge", line: null },
  ],
};

// Deterministic noise.
const hash = (n) => { let x = Math.imul(n ^ 0x9e3779b9, 0x85ebca6b); x ^= x >>> 13; x = Math.imul(x, 0xc2b2ae35); return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32; };
const seed = (s) => [...s].reduce((a, c) => Math.imul(a, 31) + c.charCodeAt(0), 7);
const noise = (name, t, step) => { const k = Math.floor(t / step); const f = t / step - k; return hash(seed(name) + k) * (1 - f) + hash(seed(name) + k + 1) * f; };

export const scene = { quiet: false, link: "up", born: Date.now() };
const WORK = { saw: 0.69, lathe: 0.97, mill: 0.92, washer: 0.85, press: 0.62, gauge: 0.46, compressor: 0.8, housings: 0.99 };
const CYCLE = 67_000;

/** State of an asset at t. */
export function stateAt(a, t) {
  const day = (t + 8 * HOUR) % (24 * HOUR);
  if (day > 11.75 * HOUR && day < 12.25 * HOUR && a !== "compressor") return 2;
  if (!scene.quiet && a === "washer" && t > scene.born - 14 * 60_000) return 9;
  if (!scene.quiet && ["press", "gauge"].includes(a) && t > scene.born - 11 * 60_000) return 5;
  if (!scene.quiet && a === "mill" && t > scene.born - 9 * 60_000) return 5;
  const k = Math.floor(t / (CYCLE * 97));
  if (hash(seed(a) + k) < 0.34 && (t % (CYCLE * 97)) < CYCLE * (3 + 6 * hash(k))) return a === "compressor" ? 4 : hash(k + 3) < 0.5 ? 9 : 11;
  const phase = (t % CYCLE) / CYCLE;
  if (phase < (WORK[a] ?? 1)) return 6;
  return a === "lathe" ? 4 : 5;
}

export function runsOf(a, start, end) {
  const runs = [];
  let from = start - 20 * 60_000;
  let now = stateAt(a, from);
  for (let t = from; t < end; t += 1000) {
    const s = stateAt(a, t);
    if (s !== now) { runs.push({ start: from, end: t, state: now, status: 0 }); from = t; now = s; }
  }
  runs.push({ start: from, end, state: now, status: 0 });
  return runs.filter((r) => r.end > start);
}

const POWER = { saw: [0.7, 3.1], lathe: [2.6, 8.4], mill: [1.5, 10.2], washer: [3, 14], press: [1, 5.5], compressor: [7, 23] };

export function valueAt(path, t) {
  const [a, id] = path.split("/");
  const on = stateAt(a, t) === 6;
  const off = [2, 9].includes(stateAt(a, t));
  const p = POWER[a];
  switch (id) {
    case "state": return stateAt(a, t);
    case "light": return { 6: 1, 5: 2, 4: 2, 9: 3, 11: 3 }[stateAt(a, t)] ?? 0;
    case "activity": case "machine_state": return on ? 2 : off ? 0 : 1;
    case "power":
      if (a === "incomer") return ["saw", "lathe", "mill", "washer", "press", "compressor", "unassigned"].reduce((s, x) => s + valueAt(`${x}/power`, t), 0);
      if (a === "unassigned") return 7.5 + noise(path, t, 200_000) * 2;
      return off ? 0.2 : (on ? p[1] : p[0]) * (0.9 + 0.2 * noise(path, t, 4000));
    case "current": return (a === "compressor" ? 1.9 : 1.7) * valueAt(`${a}/power`, t);
    case "vibration": return on ? 0.9 + 0.3 * noise(path, t, 3000) + wear(t) * 4 : 0.15 + 0.05 * noise(path, t, 3000);
    case "vibration_baseline": return 1.02;
    case "vibration_excess": return wear(t) * 4;
    case "health": return Math.max(0, 96 - 60 * wear(t) + 3 * (noise(path, t, 60_000) - 0.5));
    case "health_limit": return 60;
    case "tank_temperature": return 60 + 2 * Math.sin(t / 240_000);
    case "pressure": return a === "compressor" ? 6.7 + 0.5 * Math.sin(t / 90_000) : on ? 80 + 80 * Math.abs(Math.sin(t / 9000)) : 10;
    case "oil_temperature": return 49 + 2 * noise(path, t, 900_000);
    case "spindle_speed": return on ? 4200 + 200 * noise(path, t, 5000) : 0;
    case "last_good_read": return Math.floor(t / 1000) * 1000;
    case "outbox_rows": return 2 + Math.floor(6 * noise(path, t, 1000));
    case "samples_per_s": return 182 + 8 * noise(path, t, 1000);
    case "energy_per_part_kwh": return 0.148 + 0.01 * noise(path, t, 900_000);
  }
  if (id.startsWith("voltage")) return 221 + 3 * noise(path, t, 8000);
  if (id.startsWith("current_")) return 62 + 12 * noise(path, t, 5000);
  if (id.startsWith("buffer_")) return Math.floor(4.5 * noise(path, t, 90_000));
  const since = (t - 1.7e12) / HOUR;
  const made = Math.floor((since * HOUR) / CYCLE / (1.06)) - 1.2e6;
  if (id === "part_count") return made % 100_000;
  if (id === "good_count") return Math.floor(made * 0.975) % 100_000;
  if (id === "reject_count") return Math.floor(made * 0.025) % 100_000;
  if (id === "energy") return a === "incomer" ? (since * 58) % 100_000 : ((since % 4000) * (p?.[1] ?? 7)) * 0.7;
  const share = { energy_producing_kwh: 0.83, energy_waiting_kwh: 0.15, energy_stopped_kwh: 0.02, energy_unknown_kwh: 0 }[id];
  if (share !== undefined) return ((since % 400) * (p?.[1] ?? 5)) * share;
  return 0;
}

function wear(t) {
  if (scene.quiet) return 0;
  return Math.max(0, Math.min(1, (t - (scene.born - 70 * 60_000)) / (100 * 60_000)));
}

export function statusAt(path, t, s) {
  if (!scene.quiet && path === "press/oil_temperature" && t > scene.born - 25 * 60_000) return 0x808c0000;
  if (!scene.quiet && path === "washer/tank_temperature" && t > scene.born - 40 * 60_000 && t < scene.born - 20 * 60_000) return 0x40930000;
  return s?.estimated ? 0x40000000 : 0;
}

export function sample(s, t) {
  const status = statusAt(s.path, t, s);
  const lag = s.id === "spindle_speed" && !scene.quiet ? 26_000 : 400;
  return { value: status >= 0x80000000 ? null : valueAt(s.path, t), status, time: Math.floor(t - lag) };
}
