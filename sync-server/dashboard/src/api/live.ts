import { useQueryClient, type Query, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { Kind } from "./types";

export type Line = "connecting" | "live" | "cut";

/** What a poke says has changed; nothing where it says nothing. */
interface Poke {
  docs?: { kind: Kind; id: string }[];
  resync?: boolean;
}

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** Pokes that come together are one asking. */
const TOGETHER = 400;

/** Kinds whose change a query's answer does not hang on are left out by its `meta.kinds`. */
declare module "@tanstack/react-query" {
  interface Register {
    queryMeta: { kinds?: Kind[] };
  }
}

/**
 * The stream of pokes, and what it does: what is shown is asked again when it
 * may have changed. A cut stream comes back by itself, and then everything is asked again.
 */
export class Live {
  private source: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private flushing: ReturnType<typeof setTimeout> | undefined;
  private wait = FIRST_WAIT;
  private last = 0;
  /** Kinds that changed since the last asking; everything where `undefined`. */
  private waiting: Set<Kind> | undefined = new Set();
  private listeners = new Set<() => void>();
  line: Line = "connecting";

  constructor(
    private readonly client: QueryClient,
    private readonly open: (url: string) => EventSource = (url) => new EventSource(url),
  ) {}

  begin(): void {
    this.end();
    const source = this.open("/api/events");
    this.source = source;
    source.onopen = () => {
      const before = this.line;
      this.wait = FIRST_WAIT;
      this.say("live");
      if (before === "cut") this.changed({ resync: true });
    };
    source.onmessage = (event) => this.poked(event);
    for (const name of ["poke", "changed", "resync"]) {
      source.addEventListener(name, (event) => this.poked(event));
    }
    source.addEventListener("end", () => {
      // The session is over: whoever asks next is told so.
      this.end();
      void this.client.invalidateQueries({ queryKey: ["session"] });
    });
    source.onerror = () => {
      source.close();
      this.say("cut");
      const wait = this.wait * (0.75 + Math.random() / 2);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.begin(), wait);
    };
  }

  end(): void {
    clearTimeout(this.timer);
    clearTimeout(this.flushing);
    this.flushing = undefined;
    this.source?.close();
    this.source = undefined;
  }

  /** Whoever comes back to a page does not wait for the next try. */
  readonly hurry = (): void => {
    if (this.line === "cut" && document.visibilityState === "visible") {
      this.wait = FIRST_WAIT;
      this.begin();
    }
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private say(line: Line): void {
    this.line = line;
    this.listeners.forEach((listener) => listener());
  }

  private poked(event: MessageEvent): void {
    let poke: Poke = { resync: true };
    try {
      const said: unknown = JSON.parse(String(event.data));
      if (said !== null && typeof said === "object" && Array.isArray((said as Poke).docs)) poke = said;
    } catch {
      // A poke without words: anything may have changed.
    }
    this.changed(event.type === "resync" ? { resync: true } : poke);
  }

  private changed(poke: Poke): void {
    if (poke.resync === true || poke.docs === undefined) this.waiting = undefined;
    else poke.docs.forEach((doc) => this.waiting?.add(doc.kind));
    if (this.flushing !== undefined) return;
    // The first of a burst at once, the rest together.
    const soon = Math.max(0, this.last + TOGETHER - Date.now());
    this.flushing = setTimeout(() => this.flush(), soon);
  }

  private flush(): void {
    this.flushing = undefined;
    this.last = Date.now();
    const kinds = this.waiting;
    this.waiting = new Set();
    const concerned = (query: Query): boolean =>
      kinds === undefined || query.meta?.kinds === undefined || query.meta.kinds.some((kind) => kinds.has(kind));
    void this.client.invalidateQueries({ predicate: concerned });
  }
}

let live: Live | undefined;

/** Keeps what is shown up to date for as long as the page's frame stands. */
export function useLive(): Line {
  const client = useQueryClient();
  live ??= new Live(client);
  const here = live;
  useEffect(() => {
    here.begin();
    document.addEventListener("visibilitychange", here.hurry);
    window.addEventListener("online", here.hurry);
    return () => {
      here.end();
      document.removeEventListener("visibilitychange", here.hurry);
      window.removeEventListener("online", here.hurry);
    };
  }, [here]);
  return useSyncExternalStore(here.subscribe, () => here.line);
}
