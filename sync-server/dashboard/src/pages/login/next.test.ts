import { expect, it } from "vitest";
import { next } from "./next";

const OURS = "https://onsite.example";

it("leads to a page or a form of ours", () => {
  for (const to of ["/", "/board?q=abc", "/work-orders/1#photos", "/api/visits/1/print?lang=en", "/board?q=https://evil.example/"]) expect(next(to, OURS)).toBe(to);
  expect(next(null, OURS)).toBe("/");
});

it("leads nowhere else", () => {
  const elsewhere = ["", "board", "https://evil.example/", "//evil.example/", "/\\evil.example/", "\\/evil.example", "/\t/evil.example", "/\n/evil.example", "/.//evil.example", "/a/..//evil.example", "javascript:alert(1)", "http://[", "//["];
  for (const to of elsewhere) expect(next(to, OURS), JSON.stringify(to)).toBe("/");
});
