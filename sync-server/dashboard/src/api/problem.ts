import type { TFunction } from "i18next";
import { word } from "../words";

/** What the server says where something does not go: RFC 9457 with a stable code. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly field = "",
    /** Seconds to wait before trying again, where the server says so. */
    readonly retryAfter = 0,
  ) {
    super(`${code}: ${detail}`);
  }

  /** Whether the same request may go through a moment later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }

  /** The problem that an answer tells. */
  static async of(response: Response): Promise<Problem> {
    const retry = Number(response.headers.get("retry-after") ?? 0);
    try {
      const said = (await response.json()) as { code?: string; detail?: string; field?: string };
      return new Problem(response.status, said.code ?? "internal", said.detail ?? "", said.field ?? "", retry);
    } catch {
      return new Problem(response.status, "internal", response.statusText, "", retry);
    }
  }

  /** The server could not be reached at all. */
  static unreachable(): Problem {
    return new Problem(0, "unreachable", "the server cannot be reached");
  }
}

/** A failure as people should read it: the field's name, then why. */
export function told(t: TFunction, error: unknown): string {
  if (!(error instanceof Problem)) return t("problem.page", { detail: error instanceof Error ? error.message : String(error) });
  const known = t(`problem.${error.code}` as never, { defaultValue: "", seconds: error.retryAfter });
  const why = word("reject", error.code, "") || known || error.detail || t("problem.internal");
  const leaf = error.field.split("/").at(-1) ?? "";
  const field = leaf && word("field", leaf, "");
  return field ? t("problem.field", { field, why }) : why;
}
