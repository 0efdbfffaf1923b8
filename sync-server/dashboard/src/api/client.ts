import { newId } from "../id";
import { Problem } from "./problem";

type Params = Record<string, string | number | boolean | null | undefined>;

function address(path: string, params?: Params): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value != null && value !== "" && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function call(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
  if (!response.ok) throw await Problem.of(response);
  return response;
}

/** Asks for something; `signal` ends the asking. */
export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const response = await call(address(path, params), { signal: signal ?? null, headers: { accept: "application/json" } });
  return (await response.json()) as T;
}

/** Sends something; the answer is nothing where the server says nothing. */
export async function send<T = void>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
  const response = await call(path, {
    method,
    headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** How often a command is sent again where no answer came. */
const TRIES = 4;

/** Sends something that a repeated key makes harmless to send twice, until an answer comes. */
export async function sendOnce<T>(path: string, body: unknown, key: string = newId(), pause = 400): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await send<T>("POST", path, body, { "idempotency-key": key });
    } catch (error) {
      if (!(error instanceof Problem) || !error.passing || tried === TRIES) throw error;
      await new Promise((done) => setTimeout(done, Math.max(pause * 2 ** (tried - 1), error.retryAfter * 1000)));
    }
  }
}
