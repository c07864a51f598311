/**
 * What the helper process runs, as text. Made from helper.ts and all it imports; never edited by hand: see
 * test/unit/last-will-source.test.ts, which fails when it is out of date and says how to write it anew.
 */
export const helperSource: string = `// src/last-will/grpc.ts
var MAX_ANSWER_BYTES = 64 * 1024;
function dial(host, { tls, authority }) {
  const { connect } = process.getBuiltinModule("node:http2");
  const isSocket = host.startsWith("/");
  const url = \`\${tls === void 0 ? "http" : "https"}://\${authority ?? (isSocket ? "localhost" : host)}\`;
  const { hostname, port } = new URL(isSocket ? "grpc://localhost" : \`grpc://\${host}\`);
  const name = hostname.replace(/^\\[|\\]$/g, "");
  const address = isSocket ? { path: host } : { host: name, port: Number(port || 443) };
  const session = connect(url, {
    createConnection: () => tls === void 0 ? process.getBuiltinModule("node:net").connect(address) : process.getBuiltinModule("node:tls").connect({
      ...address,
      ALPNProtocols: ["h2"],
      ...tls.ca !== void 0 && { ca: tls.ca },
      ...tls.key !== void 0 && { key: tls.key },
      ...tls.cert !== void 0 && { cert: tls.cert },
      ...serverName(tls.servername ?? name)
    })
  });
  session.on("error", () => void 0);
  return session;
}
function serverName(name) {
  return process.getBuiltinModule("node:net").isIP(name) === 0 ? { servername: name } : {};
}
function call(session, path, message, metadata) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      hasleader: "true",
      // a member that is cut off from its leader says so, and keeps nobody waiting
      ...metadata
    });
    const chunks = [];
    let last = {};
    stream.on("response", (headers) => last = headers);
    stream.on("trailers", (trailers) => last = trailers);
    let bytes = 0;
    stream.on("data", (chunk) => {
      if ((bytes += chunk.length) > MAX_ANSWER_BYTES) stream.close();
      else chunks.push(chunk);
    });
    stream.on("error", reject);
    stream.on("close", () => {
      const status = last["grpc-status"];
      if (status === void 0) reject(new Error("no answer"));
      else
        resolve({
          status: Number(status),
          said: percentDecoded(String(last["grpc-message"] ?? "")),
          body: Buffer.concat(chunks).subarray(5)
          // one message: not compressed, its length
        });
    });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([head, message]));
  });
}
var percentDecoded = (text) => Buffer.from(
  text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
  "latin1"
).toString();
function varintField(field, value) {
  return Buffer.from([field << 3, ...varint(value)]);
}
function bytesField(field, value) {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([field << 3 | 2, ...varint(BigInt(bytes.length))]), bytes]);
}
function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}
function readField(message, field) {
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    return BigInt.asUintN(64, value);
  };
  while (at < message.length) {
    const tag = Number(next());
    let value;
    if ((tag & 7) === 0) value = next();
    else if ((tag & 7) === 2) {
      const length = Number(next());
      value = message.subarray(at, at + length);
      at += length;
    } else at += (tag & 7) === 1 ? 8 : 4;
    if (tag >> 3 === field) return value;
  }
  return void 0;
}

// src/last-will/revoke.ts
var PATIENCE = { nextHostAfterMs: 200, withinMs: 1500, rounds: 4, pauseMs: 200 };
var OK = 0;
var NOT_FOUND = 5;
var UNAUTHENTICATED = 16;
async function revoke(reach, leases, patience = PATIENCE) {
  const left = new Map(leases);
  for (let round = 0; round < patience.rounds && left.size > 0; round++) {
    if (round > 0) await sleep(patience.pauseMs * 2 ** (round - 1));
    await askAll(reach, left, patience);
  }
  return left;
}
async function askAll(reach, left, patience) {
  const asked = /* @__PURE__ */ new Set();
  for (const host of reach.hosts) {
    if (left.size === 0) return;
    const answered = revokeAt(host, reach, left, patience.withinMs).then(
      () => void asked.delete(answered)
    );
    asked.add(answered);
    await Promise.race([answered, sleep(patience.nextHostAfterMs)]);
  }
  while (left.size > 0 && asked.size > 0) await Promise.race(asked);
}
async function revokeAt(host, reach, left, withinMs) {
  let session;
  const timer = setTimeout(() => session?.destroy(), withinMs);
  try {
    session = dial(host, reach);
    const clusterId = await clusterOf(session);
    const leases = [...left].filter(([, ours]) => !isForeign(clusterId, ours));
    if (leases.length === 0) return;
    const metadata = reach.auth === void 0 ? {} : { token: await authenticate(session, reach.auth) };
    const revoked = leases.map(async ([leaseId, ours]) => {
      const isBelieved = ours === void 0 || clusterId !== void 0;
      if (await isGone(session, leaseId, metadata, { ours, isBelieved })) left.delete(leaseId);
    });
    await Promise.all(revoked);
  } catch {
  } finally {
    clearTimeout(timer);
    session?.destroy();
  }
}
var isForeign = (theirs, ours) => ours !== void 0 && theirs !== void 0 && theirs !== "" && theirs !== ours;
async function clusterOf(session) {
  const { status, body } = await call(session, "/etcdserverpb.Maintenance/Status", Buffer.alloc(0), {});
  return status === OK ? clusterIn(body) : void 0;
}
function clusterIn(body) {
  const header = readField(body, 1);
  const clusterId = Buffer.isBuffer(header) ? readField(header, 1) : void 0;
  return typeof clusterId === "bigint" && clusterId > 0n ? clusterId.toString() : "";
}
async function isGone(session, leaseId, metadata, { ours, isBelieved }) {
  const message = varintField(1, BigInt(leaseId));
  const { status, body } = await call(session, "/etcdserverpb.Lease/LeaseRevoke", message, metadata);
  if (status === OK) return !isForeign(clusterIn(body), ours);
  return status === NOT_FOUND && isBelieved;
}
async function authenticate(session, { username, password }) {
  const credentials = Buffer.concat([bytesField(1, username), bytesField(2, password)]);
  const { status, said, body } = await call(session, "/etcdserverpb.Auth/Authenticate", credentials, {});
  const token = readField(body, 2);
  if (status === OK && Buffer.isBuffer(token)) return token.toString();
  if (status !== UNAUTHENTICATED && /authentication is not enabled/.test(said)) return "";
  throw new Error(said);
}
var sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// src/last-will/helper.ts
function runHelper(pipe, end) {
  process.title = "etcd-election last will";
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"])
    process.on(signal, () => void 0);
  let reach;
  const held = /* @__PURE__ */ new Map();
  let unread = "";
  let over = false;
  const receive = (message) => {
    if (message.type === "reach") reach = message.reach;
    else if (message.type === "hold") held.set(message.leaseId, message.clusterId);
    else held.delete(message.leaseId);
  };
  const gone = () => {
    if (over) return;
    over = true;
    if (reach === void 0 || held.size === 0) end();
    else void revoke(reach, held).then(end, end);
  };
  pipe.setEncoding("utf8");
  pipe.on("data", (text) => {
    const lines = (unread + text).split("\\n");
    unread = lines.pop() ?? "";
    for (const line of lines) receive(JSON.parse(line));
  });
  pipe.on("end", gone);
  pipe.on("close", gone);
  pipe.on("error", gone);
}

// <stdin>
runHelper(process.stdin, () => process.exit());
`;
