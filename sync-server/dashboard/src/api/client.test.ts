import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import i18n from "i18next";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answer, clientOf, command } from "./client";
import { Problem, told } from "./problem";
import type { Command } from "./types";

let server: Server;
let base: string;
let reply: (request: IncomingMessage, response: ServerResponse, body: string) => void;

beforeEach(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => reply(request, response, body));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const issue: Command = { do: "issue_dispatch", id: "0190" };

function json(response: ServerResponse, said: object): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(said));
}

function problem(response: ServerResponse, status: number, said: object): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ status, ...said }));
}

describe("asking", () => {
  it("leaves out conditions that say nothing", async () => {
    reply = (request, response) => json(response, { rows: [], next: request.url });
    const found = await answer(clientOf(base).GET("/api/documents", { params: { query: { search: "纸 厂", person: undefined, limit: 0 } } }));
    expect(found.next).toBe("/api/documents?search=%E7%BA%B8%20%E5%8E%82&limit=0");
  });

  it("a problem has its code, field and words in the language shown", async () => {
    reply = (_, response) => problem(response, 422, { code: "empty", field: "patch/contact_phone", detail: "is empty" });
    const failed = await clientOf(base).GET("/api/today").catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 422, code: "empty", field: "patch/contact_phone" });
    expect(told(i18n.t, failed)).toBe("联系电话：不能为空");
    await expect(clientOf(base).DELETE("/api/session")).rejects.toBeInstanceOf(Problem);
  });

  it("a code without words falls back to what the server said", () => {
    expect(told(i18n.t, new Problem(400, "bad_after", "not a place that a list answered"))).toBe("not a place that a list answered");
    expect(told(i18n.t, new Problem(429, "busy", "too many requests", "", 7))).toContain("7");
    expect(told(i18n.t, new Error("x is undefined"))).toContain("x is undefined");
  });
});

describe("a command", () => {
  it("is sent again with the same key until an answer comes", async () => {
    const keys: unknown[] = [];
    reply = (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length === 1) request.socket.destroy();
      else if (keys.length === 2) problem(response, 503, { code: "moved" });
      else json(response, { docs: [], head: 7 });
    };
    await command(issue, clientOf(base), "key-1", 1);
    expect(keys).toEqual(["key-1", "key-1", "key-1"]);
  });

  it("that is refused is not sent again", async () => {
    let times = 0;
    reply = (_, response) => {
      times += 1;
      problem(response, 422, { code: "not_your_role" });
    };
    await expect(command(issue, clientOf(base), "key-2", 1)).rejects.toMatchObject({ code: "not_your_role" });
    expect(times).toBe(1);
  });

  it("gives up in the end, and says that the server cannot be reached", async () => {
    server.close();
    server.closeAllConnections();
    const failed = await command(issue, clientOf(base), "key-3", 1).catch((error: unknown) => error);
    expect(told(i18n.t, failed)).toBe("连不上服务器，请检查网络");
  });
});
