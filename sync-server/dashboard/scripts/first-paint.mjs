// How long a screen takes in a browser that has never seen the page: until something is painted, and
// until its content stands. Prints a line of JSON for each screen. `cargo xtask bench office` runs it.
import { chromium } from "playwright-core";

const [url, login, password] = process.argv.slice(2);
/** Screens, and what of each stands once it is filled. */
const SCREENS = [
  ["/", "#main .task, #main table tbody tr, #main li"],
  ["/board", "#main .job"],
  ["/calendar", "#main table tbody tr"],
  ["/customers", "#main table tbody tr"],
  ["/figures", "#main canvas, #main table tbody tr"],
];
const TIMES = 5;

const flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags.split(" ") });
const signed = await fetch(`${url}/api/session`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ login, password }) });
if (!signed.ok) throw new Error(`${login} cannot sign in: ${await signed.text()}`);
const [name, value] = signed.headers.get("set-cookie").split(";")[0].split("=");

for (const [path, content] of SCREENS) {
  const painted = [];
  const filled = [];
  for (let n = 0; n < TIMES; n += 1) {
    // A context of its own has nothing cached.
    const context = await browser.newContext({ viewport: { width: 1360, height: 900 } });
    await context.addCookies([{ name, value, url }]);
    const page = await context.newPage();
    const begun = performance.now();
    await page.goto(url + path, { waitUntil: "commit" });
    await page.locator(content).first().waitFor();
    filled.push(performance.now() - begun);
    painted.push(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
    await context.close();
  }
  const worst = (all) => Math.round(Math.max(...all));
  console.log(JSON.stringify({ path, painted: worst(painted), filled: worst(filled) }));
}
await browser.close();
