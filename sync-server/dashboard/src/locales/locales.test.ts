import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import en from "./en.json";
import zh from "./zh-CN.json";

const SOURCES = join(import.meta.dirname, "..");

/** Every file that shows something. */
const shown = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".tsx") && !f.endsWith(".test.tsx"));

/** Attributes that people read or hear. */
const READ = new Set(["title", "label", "placeholder", "alt", "aria-label", "okText", "cancelText", "description", "message", "extra", "tooltip"]);

/** Texts in a source that no message file holds: in Chinese anywhere, in any letters where people read them. */
function literals(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(SOURCES, file), "utf8"), ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node) && /\p{L}/u.test(node.text)) found.push(node.text.trim());
    if ((ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node)) && /\p{Script=Han}/u.test(node.text)) found.push(node.text);
    if (ts.isJsxAttribute(node) && READ.has(node.name.getText()) && node.initializer && ts.isStringLiteral(node.initializer) && /\p{L}/u.test(node.initializer.text))
      found.push(node.initializer.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found.map((text) => `${file}: ${text}`);
}

describe("the message files", () => {
  it("have the same keys, each with words and the same gaps to fill", () => {
    expect(Object.keys(en)).toEqual(Object.keys(zh));
    const gaps = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
    for (const [key, text] of Object.entries(zh)) {
      expect(text.trim(), key).not.toBe("");
      expect(gaps(en[key as keyof typeof en]), key).toEqual(gaps(text));
    }
  });

  it("are spoken in the language they are of", () => {
    const names = new Set(["language.other", "app.name"]);
    for (const [key, text] of Object.entries(en)) if (!names.has(key)) expect(text, key).not.toMatch(/\p{Script=Han}/u);
  });

  it("hold no key that nothing asks for", () => {
    const all = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
      .filter((f) => /\.tsx?$/.test(f))
      .map((f) => readFileSync(join(SOURCES, f), "utf8"))
      .join("\n");
    // A key is asked for by its name, or by its beginning and a word: t(`today.${part}`).
    const begun = [...all.matchAll(/`([a-z_.]+\.)\$\{/g)].map((m) => m[1] ?? "");
    const idle = Object.keys(zh).filter((key) => !all.includes(`"${key}"`) && !begun.some((b) => key.startsWith(b)));
    expect(idle).toEqual([]);
  });
});

describe("what the page shows", () => {
  it("is looked for in some files", () => expect(shown.length).toBeGreaterThan(5));
  it.each(shown)("comes from the message files: %s", (file) => expect(literals(file)).toEqual([]));
});
