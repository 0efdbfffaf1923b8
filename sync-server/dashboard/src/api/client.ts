import createClient, { type Middleware } from "openapi-fetch";
import { newId } from "../id";
import { Problem } from "./problem";
import type { paths } from "./schema";
import type { Command } from "./types";

/** A failed request is a problem, whoever asked. */
const problems: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await Problem.of(response);
  },
  onError({ error }) {
    if (error instanceof Problem || (error instanceof DOMException && error.name === "AbortError")) return error;
    return Problem.unreachable();
  },
};

/** A client of a server; the page's own where nobody says another. */
export function clientOf(baseUrl: string): ReturnType<typeof createClient<paths>> {
  // Asked for at each request: a test may put its own in place.
  const client = createClient<paths>({ baseUrl, credentials: "same-origin", fetch: (request) => globalThis.fetch(request) });
  client.use(problems);
  return client;
}

export const api = clientOf(globalThis.location.origin);

/** What was answered; a problem is thrown. */
export async function answer<T>(asked: Promise<{ data?: T }>): Promise<T> {
  return (await asked).data as T;
}

/** How often a command is sent where no answer came. */
const TRIES = 4;

/** Gives a command; its key makes it harmless to send twice, so it is sent until an answer comes. */
export async function command(said: Command, client = api, key: string = newId(), pause = 400): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await client.POST("/api/commands", { params: { header: { "idempotency-key": key } }, body: said as never });
      return;
    } catch (error) {
      if (!(error instanceof Problem) || !error.passing || tried === TRIES) throw error;
      await new Promise((done) => setTimeout(done, Math.max(pause * 2 ** (tried - 1), error.retryAfter * 1000)));
    }
  }
}
