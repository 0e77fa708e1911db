// A development fixture: speaks the gateway's REST and WebSocket with made-up values. Not shipped.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { plant, runsOf, sample, scene, valueAt, statusAt } from "./plant.mjs";
import * as told from "./told.mjs";

const port = Number(process.argv[2] ?? 8099);
const root = join(fileURLToPath(new URL(".", import.meta.url)), "../../static");
const signals = new Map(plant.assets.flatMap((a) => a.signals.map((s) => [s.path, s])));
const person = { name: "dev", rights: ["viewer", "operator", "engineer"] };
Object.assign(plant, { calendar: true });
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
let mutedUntil = 0;

const body = async (request) => { let text = ""; for await (const chunk of request) text += chunk; return text === "" ? {} : JSON.parse(text); };

function history(path, start, end, px) {
  const s = signals.get(path);
  const step = Math.max(1000, Math.ceil((end - start) / px));
  const time = [], value = [], status = [];
  const gap = [end - 5.2 * 3_600_000, end - 5.0 * 3_600_000];
  for (let t = Math.ceil(start / step) * step; t < Math.min(end, Date.now()); t += step) {
    if (t > gap[0] && t < gap[1]) continue;
    const code = statusAt(path, t, s);
    time.push(t); status.push(code); value.push(code >= 0x80000000 ? null : valueAt(path, t));
  }
  return { path, kind: s.kind, start, end, tier: step >= 3_600_000 ? "hour" : step >= 60_000 ? "minute" : "raw", bucket_ms: step, raw_count: Math.round(time.length * step / 1000), time, value, status };
}

function aggregate(path, start, end, width_ms) {
  const columns = { start: [], width_ms, first: [], last: [], low: [], high: [], mean: [], increase: [], good_s: [], count: [] };
  for (let t = start; t < end; t += width_ms) {
    const a = valueAt(path, t), b = valueAt(path, Math.min(end, t + width_ms));
    for (const [k, v] of Object.entries({ start: t, first: a, last: b, low: Math.min(a, b), high: Math.max(a, b), mean: (a + b) / 2, increase: Math.max(0, b - a), good_s: width_ms / 1000, count: 60 })) columns[k].push(v);
  }
  return columns;
}

const server = createServer(async (request, reply) => {
  const url = new URL(request.url, "http://x");
  const q = url.searchParams;
  const json = (data, code = 200, headers = {}) => reply.writeHead(code, { "content-type": "application/json", ...headers }).end(JSON.stringify(data));
  const inside = (request.headers.cookie ?? "").includes("dev=1");
  const range = () => [Number(q.get("start")), Number(q.get("end"))];
  switch (url.pathname) {
    case "/dev":
      if (q.has("quiet")) scene.quiet = q.get("quiet") === "1";
      if (q.has("mute")) mutedUntil = Date.now() + 1000 * Number(q.get("mute"));
      if (q.has("twin")) scene.twin = q.get("twin");
      if (q.has("viewer")) person.rights = q.get("viewer") === "1" ? ["viewer"] : ["viewer", "operator", "engineer"];
      if (q.has("link")) scene.link = q.get("link");
      return json({ ok: true });
    case "/api/login": {
      const { user, password } = await body(request);
      return user === "dev" && password === "dev" ? json(person, 200, { "set-cookie": "dev=1; Path=/; HttpOnly; SameSite=Strict" }) : json({ detail: "wrong" }, 401);
    }
    case "/api/logout": return json({}, 200, { "set-cookie": "dev=; Path=/; Max-Age=0" });
  }
  if (url.pathname.startsWith("/api/")) {
    if (!inside) return json({ detail: "log in" }, 401);
    switch (url.pathname) {
      case "/api/me": return json(person);
      case "/api/plant": return json(plant);
      case "/api/history": return json(history(q.get("path"), ...range(), Number(q.get("px") ?? 2000)));
      case "/api/aggregate": return json(aggregate(q.get("path"), ...range(), Number(q.get("width_ms"))));
      case "/api/as-of": {
        const at = Number(q.get("at")), all = [...signals.values()].filter((s) => s.kind !== "text"), found = all.map((s) => sample(s, at));
        return json({ at, known_at: Number(q.get("known_at")) || null, paths: all.map((s) => s.path), value: found.map((x) => x.value), status: found.map((x) => x.status), source_time: found.map((x) => x.time) });
      }
      case "/api/runs": return json(told.runs(q.get("asset"), ...range(), q.has("known_at") ? Number(q.get("known_at")) : null));
      case "/api/shifts": return json(told.shifts(...range()));
      case "/api/oee": return json(told.oee(q.get("asset"), ...range(), q.get("by")));
      case "/api/events": return json([]);
      case "/api/products/now": return json(told.madeAt(Number(q.get("at") ?? Date.now())));
      case "/api/reasons": case "/api/products": case "/api/mode": {
        const what = url.pathname.split("/").pop();
        if (request.method === "GET") return json({ reasons: told.reasons, products: told.products, mode: told.modesAt(Number(q.get("at") ?? Date.now())) }[what]);
        if (scene.twin === "dead") return json({ detail: "the twin did not answer" }, 503);
        const done = { reasons: told.say, products: told.setProduct, mode: told.setMode }[what](await body(request), person.name);
        return "error" in done ? json({ detail: done.error }, 422) : json(done);
      }
      case "/api/states": {
        const [asset] = q.get("path").split("/");
        return json({ path: q.get("path"), runs: runsOf(asset, ...range()) });
      }
    }
    return json({ detail: "no such path" }, 404);
  }
  const file = extname(url.pathname) === "" ? "index.html" : normalize(url.pathname);
  try {
    reply.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(await readFile(join(root, file)));
  } catch {
    reply.writeHead(404).end();
  }
});

function frame(text) {
  const data = Buffer.from(text);
  const n = data.length;
  const head = n < 126 ? Buffer.from([0x81, n]) : n < 65536 ? Buffer.from([0x81, 126, n >> 8, n & 255]) : Buffer.from([0x81, 127, 0, 0, 0, 0, (n >>> 24) & 255, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
  return Buffer.concat([head, data]);
}

server.on("upgrade", (request, socket) => {
  if (Date.now() < mutedUntil) return socket.destroy();
  const key = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
  let view = [], seq = 0, held = Buffer.alloc(0), link = "";
  const send = (data) => { if (Date.now() > mutedUntil && socket.writable) socket.write(frame(JSON.stringify(data))); };
  const columns = (list, t) => { const all = list.map((s) => sample(s, t)); return { value: all.map((x) => x.value), status: all.map((x) => x.status), source_time: all.map((x) => x.time) }; };
  const due = (s, k) => s.origin === "analytics" ? k % 25 === 0 : s.id === "spindle_speed" ? k % 130 === 0 : hash(s.path, k);
  const hash = (p, k) => (p.length * 7 + k) % 5 === 0;
  let k = 0;
  const timer = setInterval(() => {
    const now = Date.now();
    k += 1;
    if (view.length > 0) {
      const i = view.flatMap((s, n) => (due(s, k) && !(scene.link === "lost" && s.origin === "edge") ? [n] : []));
      if (i.length > 0) send({ type: "frame", seq: seq++, time: now, i, ...columns(i.map((n) => view[n]), now) });
    }
    if (k % 5 === 0) send({ type: "heartbeat", time: now });
    if (link !== scene.link || k % 25 === 0) {
      link = scene.link;
      send({ type: "links", links: [
        { edge: "edge1", state: link, since: now - 2_700_000, complete_up_to: now - (link === "lost" ? 95_000 : 700), best_effort: false },
        { edge: "kaikou_twin", state: "up", since: now - 2_650_000, complete_up_to: now - 900, best_effort: false },
        { edge: "kaikou_analytics", state: "up", since: now - 2_640_000, complete_up_to: now - 1500, best_effort: false },
        { edge: "site-b/packer7", state: "up", since: now - 400_000, complete_up_to: null, best_effort: true }] });
    }
  }, 200);
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 6) {
      let n = held[1] & 127, at = 2;
      if (n === 126) { n = held.readUInt16BE(2); at = 4; }
      if (held.length < at + 4 + n) return;
      const mask = held.subarray(at, at + 4), data = Buffer.from(held.subarray(at + 4, at + 4 + n)).map((b, i) => b ^ mask[i % 4]);
      const op = held[0] & 15;
      held = held.subarray(at + 4 + n);
      if (op === 8) return socket.end();
      if (op !== 1) continue;
      view = JSON.parse(data.toString()).view.map((p) => signals.get(p)).filter(Boolean);
      send({ v: 1, type: "snapshot", time: Date.now(), paths: view.map((s) => s.path), ...columns(view, Date.now()) });
      link = "";
    }
  });
  socket.on("close", () => clearInterval(timer));
  socket.on("error", () => clearInterval(timer));
});

server.listen(port, "127.0.0.1", () => console.log(`development fixture on http://127.0.0.1:${port} (dev / dev)`));
