import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import i18n from "i18next";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { get, send, sendOnce } from "./client";
import { Problem, told } from "./problem";

let server: Server;
let base: string;
let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void;

beforeEach(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => answer(request, response, body));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function problem(response: ServerResponse, status: number, said: object): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ status, ...said }));
}

describe("asking", () => {
  it("leaves out conditions that say nothing", async () => {
    answer = (request, response) => response.end(JSON.stringify({ url: request.url }));
    const { url } = await get<{ url: string }>(`${base}/api/x`, { a: "纸 厂", b: undefined, c: "", d: false, e: 0 });
    expect(url).toBe("/api/x?a=%E7%BA%B8+%E5%8E%82&e=0");
  });

  it("a problem has its code, field and words in the language shown", async () => {
    answer = (_, response) => problem(response, 422, { code: "empty", field: "patch/contact_phone", detail: "is empty" });
    const failed = await get(`${base}/api/x`).catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 422, code: "empty", field: "patch/contact_phone" });
    expect(told(i18n.t, failed)).toBe("联系电话：不能为空");
    await expect(send("POST", `${base}/api/x`, {})).rejects.toBeInstanceOf(Problem);
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
    answer = (request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length === 1) request.socket.destroy();
      else if (keys.length === 2) problem(response, 503, { code: "moved" });
      else response.end(JSON.stringify({ docs: [], head: 7 }));
    };
    await expect(sendOnce(`${base}/api/commands`, { do: "x" }, "key-1", 1)).resolves.toEqual({ docs: [], head: 7 });
    expect(keys).toEqual(["key-1", "key-1", "key-1"]);
  });

  it("that is refused is not sent again", async () => {
    let times = 0;
    answer = (_, response) => {
      times += 1;
      problem(response, 422, { code: "not_your_role" });
    };
    await expect(sendOnce(`${base}/api/commands`, { do: "x" }, "key-2", 1)).rejects.toMatchObject({ code: "not_your_role" });
    expect(times).toBe(1);
  });

  it("gives up in the end, and says that the server cannot be reached", async () => {
    server.close();
    server.closeAllConnections();
    const failed = await sendOnce(`${base}/api/commands`, {}, "key-3", 1).catch((error: unknown) => error);
    expect(told(i18n.t, failed)).toBe("连不上服务器，请检查网络");
  });
});
