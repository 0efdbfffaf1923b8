import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const MESSAGES = new URL("../../core/messages/", import.meta.url);
const PREFIX = "virtual:words/";

/** Sets of the core's messages that only its terminal and its paper forms use. */
const NOT_HERE = ["cli.", "demo.", "form.", "error.", "unsafe.", "delivery.", "missing.", "status."];

/** The domain's words (stages, roles, reasons), from the core's own message files: said once, the same on phone and page. */
export function words(): Plugin {
  return {
    name: "onsite-words",
    resolveId: (id) => (id.startsWith(PREFIX) ? `\0${id}` : undefined),
    load(id) {
      if (!id.startsWith(`\0${PREFIX}`)) return undefined;
      const file = new URL(`${id.slice(PREFIX.length + 1)}.json`, MESSAGES);
      this.addWatchFile(file.pathname);
      const all = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
      const kept = Object.entries(all).filter(([key]) => !NOT_HERE.some((set) => key.startsWith(set)));
      return `export default ${JSON.stringify(Object.fromEntries(kept))};`;
    },
  };
}
