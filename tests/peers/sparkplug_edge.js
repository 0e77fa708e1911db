// sparkplug-client as a foreign edge. Usage: node sparkplug_edge.js '{"serverUrl": ..., ...}'
// Obeys one word a line on standard input and answers each with the word: data, alias, gap, death,
// birth. It answers rebirth requests by itself and says so. Ends when its standard input does.
import readline from "node:readline";
import client from "sparkplug-client";

const options = JSON.parse(process.argv[2]);
const edge = client.newClient({
  groupId: "Foreign Plant",
  edgeNode: "npm edge",
  clientId: "peer-edge",
  publishDeath: true,
  version: "spBv1.0",
  username: "",
  password: "",
  ...options,
});
const say = (word) => console.log(JSON.stringify({ did: word }));
let count = 0;

const metric = (name, alias, type, value) => ({
  name,
  alias,
  type,
  value,
  timestamp: Date.now(),
});

function births() {
  edge.publishNodeBirth({
    timestamp: Date.now(),
    metrics: [
      { name: "Node Control/Rebirth", type: "Boolean", value: false },
      metric("uptime", 1, "UInt32", 7),
      metric("offset", 2, "Int32", -40),
    ],
  });
  edge.publishDeviceBirth("pump", {
    timestamp: Date.now(),
    metrics: [
      metric("flow", 3, "Double", 1.5),
      metric("steps", 4, "Int64", -5),
      metric("label", 5, "String", "P-101"),
      metric("on", 6, "Boolean", true),
      metric("level", 7, "Float", 0.25),
    ],
  });
}

const words = {
  birth: births,
  data() {
    count += 1;
    edge.publishDeviceData("pump", {
      timestamp: Date.now(),
      metrics: [metric("flow", 3, "Double", count + 0.5), metric("steps", 4, "Int64", -count)],
    });
  },
  alias() {
    edge.publishNodeData({
      timestamp: Date.now(),
      metrics: [{ alias: 2, type: "Int32", value: -41, timestamp: Date.now(), name: undefined }],
    });
  },
  gap() {
    edge.seq = (edge.seq + 3) % 256; // three messages that nobody ever saw
    words.data();
  },
  death() {
    edge.publishDeviceDeath("pump", { timestamp: Date.now() });
  },
};

edge.on("birth", () => {
  births();
  say("birth");
});
edge.on("ncmd", (payload) => {
  if ((payload.metrics ?? []).some((m) => m.name === "Node Control/Rebirth" && m.value)) {
    births();
    say("rebirth");
  }
});
readline
  .createInterface({ input: process.stdin })
  .on("line", (word) => {
    words[word]();
    say(word);
  })
  .on("close", () => {
    edge.stop();
    setTimeout(() => process.exit(0), 200);
  });
