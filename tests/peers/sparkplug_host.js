// sparkplug-payload as an independent reader. Usage: node sparkplug_host.js '{"url": ..., ...}'
// Subscribes to everything and prints one JSON line for each Sparkplug message it could decode;
// data messages, which carry no datatype, go through the generated protobuf module with the types
// of the births. Ends when its standard input does.
import mqtt from "mqtt";
import sparkplug from "sparkplug-payload";
import proto from "sparkplug-payload/lib/sparkplugPayloadProto.js";

const options = JSON.parse(process.argv[2]);
const codec = sparkplug.get("spBv1.0");
const Payload = proto.org.eclipse.tahu.protobuf.Payload;
const FIELDS = { 9: "floatValue", 10: "doubleValue", 11: "booleanValue", 12: "stringValue" };
const births = new Map(); // "group/node/device" -> alias -> {name, type}

const number = (long) => (long == null ? null : Number(long));

function properties(metric) {
  const set = metric.properties;
  if (!set || !set.keys) return {};
  return Object.fromEntries(
    set.keys.map((key, i) => {
      const value = set.values[i];
      return [key, number(value.intValue || value.longValue || 0)];
    }),
  );
}

function data(scope, payload) {
  const known = births.get(scope) ?? new Map();
  const decoded = Payload.decode(payload);
  const metrics = decoded.metrics.map((metric) => {
    const birth = known.get(number(metric.alias));
    const field = birth && FIELDS[birth.type];
    return {
      name: birth ? birth.name : null,
      alias: number(metric.alias),
      timestamp: number(metric.timestamp),
      historical: metric.isHistorical,
      null: metric.isNull,
      named: Object.hasOwn(metric, "name"),
      typed: Object.hasOwn(metric, "datatype"),
      value: metric.isNull ? null : metric[field],
      properties: properties(metric),
    };
  });
  return { timestamp: number(decoded.timestamp), seq: number(decoded.seq), metrics };
}

function certificate(scope, kind, payload) {
  const decoded = codec.decodePayload(payload);
  if (kind.endsWith("BIRTH")) {
    const types = Payload.decode(payload).metrics.map((m) => m.datatype);
    const named = decoded.metrics.map((m, i) => [
      number(m.alias),
      { name: m.name, type: types[i] },
    ]);
    births.set(scope, new Map(named));
  }
  return {
    timestamp: number(decoded.timestamp),
    seq: decoded.seq === undefined ? null : number(decoded.seq),
    metrics: (decoded.metrics ?? []).map((m) => ({
      name: m.name,
      alias: m.alias === undefined ? null : number(m.alias),
      type: m.type,
      value: typeof m.value === "object" && m.value !== null ? number(m.value) : (m.value ?? null),
      properties: Object.keys(m.properties ?? {}),
    })),
  };
}

const client = mqtt.connect(options.url, {
  clean: true,
  clientId: "peer-host",
  username: options.username,
  password: options.password,
});
client.on("connect", () =>
  client.subscribe("spBv1.0/#", () => console.log(JSON.stringify({ ready: true }))),
);
client.on("message", (topic, payload) => {
  const [, group, kind, node, device] = topic.split("/");
  if (group === "STATE") {
    console.log(JSON.stringify({ topic, state: JSON.parse(payload.toString()) }));
    return;
  }
  const scope = `${group}/${node}/${device ?? ""}`;
  try {
    const read = kind.endsWith("DATA") ? data(scope, payload) : certificate(scope, kind, payload);
    console.log(JSON.stringify({ topic, ...read }));
  } catch (error) {
    console.log(JSON.stringify({ topic, error: String(error) }));
  }
});
process.stdin.resume();
process.stdin.on("end", () => client.end(true, {}, () => process.exit(0)));
