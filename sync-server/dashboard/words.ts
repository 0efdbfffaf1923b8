import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const MESSAGES = new URL("../../core/messages/", import.meta.url);
const API = new URL("openapi.json", import.meta.url);
const WORDS = "virtual:words/";
const ENUM = "virtual:enum/";

/** Sets of the core's messages that only its terminal and its paper forms use. */
const NOT_HERE = ["cli.", "demo.", "form.", "error.", "unsafe.", "delivery.", "missing.", "status."];

/** What a virtual module holds, and the file that says it. */
function held(id: string): { file: URL; value: (read: unknown) => unknown } | undefined {
  if (id.startsWith(WORDS)) {
    const kept = (all: Record<string, string>) => Object.fromEntries(Object.entries(all).filter(([key]) => !NOT_HERE.some((set) => key.startsWith(set))));
    return { file: new URL(`${id.slice(WORDS.length)}.json`, MESSAGES), value: (all) => kept(all as Record<string, string>) };
  }
  if (!id.startsWith(ENUM)) return undefined;
  const name = id.slice(ENUM.length);
  return { file: API, value: (api) => (api as { components: { schemas: Record<string, { enum: string[] }> } }).components.schemas[name]?.enum };
}

/**
 * The domain's words (stages, roles, reasons), from the core's own message files: said once, the same on phone and page.
 * And the words of a closed set, from the API's document: what the server knows is offered.
 */
export function words(): Plugin {
  return {
    name: "onsite-words",
    resolveId: (id) => (held(id) ? `\0${id}` : undefined),
    load(id) {
      const module = id.startsWith("\0") ? held(id.slice(1)) : undefined;
      if (!module) return undefined;
      this.addWatchFile(module.file.pathname);
      const value = module.value(JSON.parse(readFileSync(module.file, "utf8")));
      if (value === undefined) this.error(`${id.slice(1)}: ${module.file.pathname} has no such thing`);
      return `export default ${JSON.stringify(value)};`;
    },
  };
}
