import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Live } from "./live";

/** A stream whose events the test makes. */
class Stream extends EventTarget {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  closed = false;
  close(): void {
    this.closed = true;
  }
  say(type: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(type, { data: typeof data === "string" ? data : JSON.stringify(data) }));
  }
}

let streams: Stream[];
let asked: string[];
let live: Live;
/** As the cache names these queries. */
const names = (...all: string[]): string[] => all.map((name) => JSON.stringify([name]));
const at = (n: number): Stream => streams[n] as Stream;

beforeEach(() => {
  vi.useFakeTimers();
  streams = [];
  asked = [];
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  for (const [name, kinds] of [["board", ["work_order"]], ["calls", ["customer"]], ["today", undefined]] as const) {
    client.getQueryCache().build(client, { queryKey: [name], ...(kinds ? { meta: { kinds: [...kinds] } } : {}) }).setData(name);
  }
  client.getQueryCache().subscribe((event) => {
    if (event.type === "updated" && event.action.type === "invalidate") asked.push(event.query.queryHash);
  });
  live = new Live(client, () => {
    const stream = new Stream();
    streams.push(stream);
    return stream as unknown as EventSource;
  });
  live.begin();
  at(0).onopen?.();
});
afterEach(() => {
  live.end();
  vi.useRealTimers();
});

describe("a poke", () => {
  it("asks again only what shows the kinds that changed, and at once", async () => {
    at(0).say("changed", { docs: [{ kind: "customer", id: "1" }] });
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.sort()).toEqual(names("calls", "today"));
  });

  it("without words asks everything again", async () => {
    at(0).say("poke", "");
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.sort()).toEqual(names("board", "calls", "today"));
  });

  it("of a burst is answered once at once and once after it", async () => {
    for (let n = 0; n < 50; n += 1) {
      at(0).say("changed", { docs: [{ kind: "work_order", id: String(n) }] });
      await vi.advanceTimersByTimeAsync(5);
    }
    await vi.advanceTimersByTimeAsync(1000);
    // Invalidating what is invalid already says nothing: one asking of each.
    expect(asked.sort()).toEqual(names("board", "today"));
  });
});

describe("a cut stream", () => {
  it("comes back by itself after waits that grow, and asks everything again", async () => {
    at(0).onerror?.();
    expect(live.line).toBe("cut");
    expect(at(0).closed).toBe(true);
    await vi.advanceTimersByTimeAsync(700);
    expect(streams).toHaveLength(2);
    at(1).onerror?.();
    await vi.advanceTimersByTimeAsync(700);
    expect(streams).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(700);
    expect(streams).toHaveLength(3);
    expect(asked).toEqual([]);
    at(2).onopen?.();
    await vi.advanceTimersByTimeAsync(1);
    expect(live.line).toBe("live");
    expect(asked.sort()).toEqual(names("board", "calls", "today"));
  });

  it("is not waited for longer than a quarter of a minute", async () => {
    for (let n = 0; n < 12; n += 1) {
      at(n).onerror?.();
      await vi.advanceTimersByTimeAsync(19_000);
      expect(streams).toHaveLength(n + 2);
    }
  });
});
