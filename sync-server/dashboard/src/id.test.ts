import { expect, it } from "vitest";
import { newId } from "./id";

it("ids are UUIDv7: of their moment, and each another", () => {
  const at = Date.UTC(2026, 10, 24);
  const ids = Array.from({ length: 200 }, () => newId(at));
  expect(new Set(ids).size).toBe(200);
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseInt(id.replace("-", "").slice(0, 12), 16)).toBe(at);
  }
});
