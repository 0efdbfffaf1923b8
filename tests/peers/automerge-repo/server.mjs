// The server of the storm: `node server.mjs PORT DIR`. Stores on disk, announces nothing of its own accord.
import { Repo } from "@automerge/automerge-repo";
import { WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket";
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs";
import { WebSocketServer } from "ws";

const [port, dir] = process.argv.slice(2);
new Repo({
  network: [new WebSocketServerAdapter(new WebSocketServer({ port: Number(port) }))],
  storage: new NodeFSStorageAdapter(dir),
  peerId: "server",
  sharePolicy: async () => false,
});
console.log("ready");
