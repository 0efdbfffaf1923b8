// What a browser must fetch before a page stands, compressed. Above the budget the build fails.
import { existsSync, readFileSync, statSync } from "node:fs";

const BUDGET = 500 * 1024;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

/** The files of a chunk and of everything it imports at once. */
function closure(key, seen = new Set()) {
  const chunk = manifest[key];
  if (!chunk || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const css of chunk.css ?? []) seen.add(css);
  for (const next of chunk.imports ?? []) closure(next, seen);
  return seen;
}

/** A file's size as it is sent. */
function sent(file, ending) {
  const packed = new URL(file + ending, dist);
  return statSync(existsSync(packed) ? packed : new URL(file, dist)).size;
}

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
// The entry loads one language and one page at once.
const always = Object.keys(manifest).filter((key) => /zh.CN/.test(key));
const pages = Object.keys(manifest).filter((key) => /^src\/pages\//.test(key) && manifest[key].isDynamicEntry);
let worst = { page: "", gzip: 0, br: 0 };
for (const page of [entry, ...pages]) {
  const files = new Set();
  for (const key of [entry, ...always, page]) closure(key, files);
  const total = (ending) => [...files].reduce((sum, file) => sum + sent(file, ending), 0);
  const found = { page, gzip: total(".gz"), br: total(".br") };
  if (found.gzip > worst.gzip) worst = found;
}
const kb = (n) => `${(n / 1024).toFixed(0)} KB`;
console.log(`first load of the heaviest page (${worst.page}): ${kb(worst.gzip)} gzip, ${kb(worst.br)} brotli; budget ${kb(BUDGET)}`);
if (worst.gzip > BUDGET) {
  console.error("the first load is over its budget: split what is not needed at once into a chunk of its own");
  process.exit(1);
}
