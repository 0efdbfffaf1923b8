// `node storm.mjs D M C`: prints what a storm cost as one line of JSON.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Repo } from "@automerge/automerge-repo";
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";

const [devices, documents, changed] = process.argv.slice(2).map(Number);
const patience = 120_000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const port = 39_000 + Math.floor(Math.random() * 1_000);
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "storm-"));
const program = path.join(import.meta.dirname, "server.mjs");
const server = spawn("node", [program, String(port), dir], { stdio: ["ignore", "pipe", "inherit"] });
await new Promise((ready) => server.stdout.once("data", ready));

// The server's CPU time in ms and its memory in MB, from /proc.
function usage() {
  const stat = fs.readFileSync(`/proc/${server.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const pages = Number(fs.readFileSync(`/proc/${server.pid}/statm`, "utf8").split(" ")[1]);
  return { cpu: (Number(fields[11]) + Number(fields[12])) * 10, rss: (pages * 4096) / 1e6 };
}

// Waits until the server is about done with what went before: it never rests wholly.
async function quiet() {
  const until = performance.now() + 30_000;
  for (let last = -1_000; usage().cpu - last > 20 && performance.now() < until; await sleep(1_000)) last = usage().cpu;
}

const NAMES = "customer contact phone address reported_at attribute service solution result remark number status equipment serial model technician arrive_by left_at arrived_at expected_days";
function workOrder(n) {
  const order = Object.fromEntries(NAMES.split(" ").map((name) => [name, `${name}-${n}`]));
  order.parts = Object.fromEntries([0, 1, 2, 3, 4].map((p) => [`p${p}`, { name: "轴承", qty: p }]));
  order.notes = "现场检查:液压站压力不足,更换密封圈后恢复正常。";
  return order;
}

const connect = () => new WebSocketClientAdapter(`ws://127.0.0.1:${port}`);
function peer(peerId) {
  const adapter = connect();
  return { adapter, repo: new Repo({ network: [adapter], peerId, sharePolicy: async () => true }) };
}

// A document asked for too early is "unavailable": asked for again.
process.on("unhandledRejection", () => {});
process.on("uncaughtException", () => {});

const phones = [];
for (let d = 0; d < devices; d++) {
  const phone = peer(`phone-${d}`);
  phone.handles = Array.from({ length: documents }, (_, m) => phone.repo.create(workOrder(d * documents + m)));
  phones.push(phone);
}
const office = peer("office");
async function find(url) {
  for (;;) {
    try {
      return await office.repo.find(url);
    } catch {
      await sleep(200);
    }
  }
}
await quiet();
const urls = phones.flatMap((phone) => phone.handles.map((handle) => handle.url));
const held = new Map();
for (let i = 0; i < urls.length; i += 50) {
  for (const handle of await Promise.all(urls.slice(i, i + 50).map(find))) held.set(handle.url, handle);
}
console.error(`all ${urls.length} documents at the office`);

for (const phone of phones) phone.adapter.disconnect();
await sleep(500);
const open = new Set();
for (const phone of phones) {
  for (const handle of phone.handles.slice(0, changed)) {
    handle.change((order) => {
      order.status = "done";
      order.solution = "更换密封圈";
      order.result = "completed";
    });
    open.add(handle.url);
  }
}
await quiet();

const before = usage();
const begin = performance.now();
for (const phone of phones) phone.repo.networkSubsystem.addNetworkAdapter(connect());
while (open.size > 0 && performance.now() - begin < patience) {
  for (const url of open) if (held.get(url).doc().status === "done") open.delete(url);
  await sleep(5);
}
const wall = performance.now() - begin;
const after = usage();
console.log(
  JSON.stringify({
    cpu_ms: (after.cpu - before.cpu) / (devices * changed),
    wall_ms: wall,
    rss_mb: after.rss,
    converged: open.size === 0,
  }),
);
server.kill("SIGKILL");
fs.rmSync(dir, { recursive: true, force: true });
process.exit(0);
