// node-opcua as an independent OPC UA client. Usage: node opcua_client.js '{"url": ..., ...}'
// or a list of such. Prints a JSON list: what failed is in it by name, nothing is thrown.
import {
  AttributeIds,
  BrowseDirection,
  ClientMonitoredItem,
  DataType,
  MessageSecurityMode,
  OPCUAClient,
  SecurityPolicy,
  TimestampsToReturn,
  UserTokenType,
  makeBrowsePath,
} from "node-opcua-client";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";

const tries = [].concat(JSON.parse(process.argv[2]));
const certificates = new OPCUACertificateManager({
  rootFolder: tries[0].pki,
  automaticallyAcceptUnknownCertificate: true,
});

async function browse(session, nodeId) {
  const result = await session.browse({
    nodeId,
    browseDirection: BrowseDirection.Forward,
    referenceTypeId: "HierarchicalReferences",
    includeSubtypes: true,
    resultMask: 63,
  });
  return result.references.map((r) => ({
    id: r.nodeId.toString(),
    name: r.browseName.name,
    display: r.displayName.text,
  }));
}

function shown(dataValue) {
  return {
    value: dataValue.value?.value ?? null,
    status: dataValue.statusCode.value,
    source_time: dataValue.sourceTimestamp ? dataValue.sourceTimestamp.getTime() : null,
  };
}

async function look(session, told) {
  const path = makeBrowsePath("RootFolder", "/Objects/2:Kaikou/2:demo/2:lathe");
  const found = await session.translateBrowsePath(path);
  const lathe = found.targets[0].targetId;
  told.lathe = (await browse(session, lathe)).map((r) => r.name);
  told.display = (await browse(session, lathe)).map((r) => r.display);
  const power = "ns=2;s=lathe/power";
  told.power = shown(await session.read({ nodeId: power, attributeId: AttributeIds.Value }));
  told.properties = (await browse(session, power)).map((r) => r.name).sort();
  const unit = await session.read({
    nodeId: "ns=2;s=lathe/power#EngineeringUnits",
    attributeId: AttributeIds.Value,
  });
  told.unit = unit.value.value.displayName.text;
  told.written = (
    await session.write({
      nodeId: power,
      attributeId: AttributeIds.Value,
      value: { value: { dataType: DataType.Double, value: 1 } },
    })
  ).name;
  told.named = (
    await session.write({
      nodeId: power,
      attributeId: AttributeIds.DisplayName,
      value: { value: { dataType: DataType.LocalizedText, value: { text: "mine" } } },
    })
  ).name;
}

async function subscribe(session, told, asked) {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100,
    requestedLifetimeCount: 1000,
    requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0,
    publishingEnabled: true,
    priority: 1,
  });
  const item = ClientMonitoredItem.create(
    subscription,
    { nodeId: "ns=2;s=lathe/power", attributeId: AttributeIds.Value },
    { samplingInterval: 100, queueSize: 10, discardOldest: true },
    TimestampsToReturn.Both,
  );
  told.changes = [];
  await new Promise((done, failed) => {
    const late = setTimeout(() => failed(new Error("no changes came")), 15000);
    item.on("changed", (dataValue) => {
      told.changes.push(shown(dataValue));
      if (told.changes.length === asked.changes) {
        clearTimeout(late);
        done();
      }
    });
    item.on("err", (text) => failed(new Error(text)));
  });
  await subscription.terminate();
}

async function attempt(asked) {
  const told = {};
  const client = OPCUAClient.create({
    applicationName: "Peer",
    clientCertificateManager: certificates,
    securityMode: MessageSecurityMode[asked.mode ?? "SignAndEncrypt"],
    securityPolicy: SecurityPolicy[asked.policy ?? "Basic256Sha256"],
    connectionStrategy: { maxRetry: 0, initialDelay: 100 },
    requestedSessionTimeout: 60000,
  });
  client.on("backoff", () => client.disconnect(() => {}));
  const user =
    asked.user === undefined
      ? { type: UserTokenType.Anonymous }
      : { type: UserTokenType.UserName, userName: asked.user, password: asked.password };
  try {
    await client.connect(asked.url);
    told.connected = true;
    const session = await client.createSession(user);
    told.session = true;
    if (asked.look) await look(session, told);
    if (asked.changes) await subscribe(session, told, asked);
    await session.close();
  } catch (error) {
    told.error = String(error.message ?? error);
  }
  const late = new Promise((done) => setTimeout(done, 2000).unref());
  await Promise.race([client.disconnect().catch(() => {}), late]);
  return told;
}

await certificates.initialize();
const results = [];
for (const asked of tries) results.push(await attempt(asked));
console.log("\n" + JSON.stringify(results));
process.exit(0);
