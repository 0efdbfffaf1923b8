import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import axe from "axe-core";
import { chromium, type Browser, type BrowserContext, type Page, type Request } from "playwright-core";
import { expect } from "vitest";
import { newId } from "../src/id";

const ROOT = resolve(import.meta.dirname, "../../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
/** The real program; built beforehand. */
const ONSITE = process.env.ONSITE_BIN ?? join(TARGET, "debug/onsite");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const PASSWORD = "a long passphrase";
export const COMPANY = "秦岭纸浆模塑";
/** Where pictures of screens go, where they are wanted. */
const SHOTS = process.env.SHOTS;

export const PEOPLE = {
  admin: ["admin", "何志远"],
  clerk: ["clerk", "刘芳"],
  manager: ["service_manager", "王建国"],
  warehouse: ["warehouse", "陈库生"],
  finance: ["finance", "周丽"],
  director: ["office_director", "孙明德"],
} as const;
export type Login = keyof typeof PEOPLE;
export const TECHNICIANS = ["李卫东", "赵敏"] as const;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** A technician's phone: the real engine on its own file. */
export class Phone {
  constructor(
    private readonly data: string,
    readonly who: string,
  ) {}

  do(...args: string[]): string {
    const done = spawnSync(ONSITE, ["device", "--data", this.data, ...args], { encoding: "utf8", env: { ...process.env, ONSITE_LANG: "zh-CN" } });
    if (done.status !== 0) throw new Error(`onsite device ${args.join(" ")}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  }
}

/** A company with its server, on files of its own. */
export class Office {
  private server: ChildProcess | undefined;
  private cookies = new Map<Login, string>();
  readonly url: string;

  private constructor(
    readonly dir: string,
    private readonly port: number,
    private settings: Record<string, string> = {},
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** `arrange`: what stands beside it and is to be known before it serves; answers further settings. */
  static async open(arrange?: (url: string) => Promise<Record<string, string>>): Promise<Office> {
    if (!existsSync(ONSITE)) throw new Error(`${ONSITE} is missing: cargo build -p onsite-server --bin onsite`);
    const office = new Office(mkdtempSync(join(tmpdir(), "onsite-e2e-")), await freePort());
    office.settings = (await arrange?.(office.url)) ?? {};
    office.cli(["company", "add", COMPANY]);
    for (const [login, [role, name]] of Object.entries(PEOPLE)) {
      office.cli(["user", "add", "--company", COMPANY, "--login", login, "--name", name, "--role", role, "--password-stdin"], `${PASSWORD}\n`);
    }
    for (const name of TECHNICIANS) office.cli(["user", "add", "--company", COMPANY, "--name", name, "--role", "technician"]);
    await office.serve();
    return office;
  }

  private get env(): NodeJS.ProcessEnv {
    return { ...process.env, ONSITE_DATA: join(this.dir, "data"), ONSITE_LISTEN: `127.0.0.1:${this.port}`, ONSITE_LIMITS__LOGIN_TRIES_PER_MINUTE: "1000", ONSITE_WEBHOOKS__ALLOW_PRIVATE: "true", ...this.settings };
  }

  cli(args: string[], input = ""): string {
    const done = spawnSync(ONSITE, args, { encoding: "utf8", input, env: this.env, cwd: this.dir });
    if (done.status !== 0) throw new Error(`onsite ${args.join(" ")}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  }

  async serve(): Promise<void> {
    const server = spawn(ONSITE, ["serve"], { env: this.env, cwd: this.dir, stdio: "ignore" });
    this.server = server;
    const begun = Date.now();
    for (;;) {
      if (server.exitCode !== null) throw new Error("onsite serve ended");
      const ready = await fetch(`${this.url}/readyz`).then(
        (r) => r.ok,
        () => false,
      );
      if (ready) return;
      if (Date.now() - begun > 60_000) throw new Error("onsite serve does not get ready");
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    if (!server || server.exitCode !== null) return;
    const ended = new Promise((done) => server.once("exit", done));
    server.kill("SIGTERM");
    await ended;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Asks the API as somebody: to arrange what a story begins with. */
  async ask<T>(login: Login, path: string, body?: unknown): Promise<T> {
    let cookie = this.cookies.get(login);
    if (cookie === undefined) {
      const signed = await fetch(`${this.url}/api/session`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ login, password: PASSWORD }),
      });
      expect(signed.status, `${login} signs in`).toBe(200);
      cookie = signed.headers.get("set-cookie")?.split(";")[0] ?? "";
      this.cookies.set(login, cookie);
    }
    const answer = await fetch(this.url + path, {
      method: body === undefined ? "GET" : "POST",
      headers: { cookie, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${login} ${path} ${JSON.stringify(body)}: ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  async give(login: Login, ...commands: Record<string, unknown>[]): Promise<void> {
    for (const command of commands) await this.ask(login, "/api/commands", command);
  }

  async staff(name: string): Promise<string> {
    const all = await this.ask<{ id: string; name: string }[]>("admin", "/api/staff");
    return all.find((p) => p.name === name)?.id ?? "";
  }

  /** A customer with a machine in warranty. */
  async customer(name: string): Promise<{ id: string; machine: string }> {
    const [id, machine] = [newId(), newId()];
    const equipment = { model: "ZM-3000", serial: "WB0001", name: "成型机", address: null, installed: null, warranty_until: "2099-12-31", replaced_by: null, removed: false };
    await this.give(
      "clerk",
      { do: "put_customer", id, name, code: "", project_completed: null, call_interval_days: null },
      { do: "put_contact", customer: id, id: newId(), contact: { name: "吴厂长", phone: "029-88886666", position: "厂长", removed: false } },
      { do: "put_address", customer: id, id: newId(), address: { label: "", text: "陕西省三原县工业园", removed: false } },
      { do: "put_equipment", customer: id, id: machine, equipment },
    );
    return { id, machine };
  }

  /** A work order that nobody is assigned to yet. */
  async order(customer: { id: string; machine: string }, what = "成型机真空不足"): Promise<string> {
    const id = newId();
    await this.give("clerk", {
      do: "open_work_order",
      id,
      customer: customer.id,
      equipment: customer.machine,
      work_type: "repair",
      request: null,
      follow_on_of: null,
      service_description: what,
      arrival_deadline: null,
    });
    return id;
  }

  /** A work order signed by everybody: a phone has it at its next contact. */
  async dispatched(customer: { id: string; machine: string }, technician: string): Promise<string> {
    const id = await this.order(customer);
    await this.sign(id, technician);
    return id;
  }

  /** Assigns people to a work order, issues it, and has everybody sign. */
  async sign(id: string, ...technicians: string[]): Promise<void> {
    const sent = await Promise.all(technicians.map((name) => this.staff(name)));
    await this.give("manager", { do: "assign", id, technicians: sent, reason: "" }, { do: "issue_dispatch", id });
    for (const [login, role] of [["warehouse", "warehouse"], ["manager", "service_manager"], ["finance", "finance"], ["director", "office_director"]] as const) {
      const { content } = await this.ask<{ content: string }>(login, `/api/work-orders/${id}`);
      await this.give(login, { do: "sign_off", id, role, content });
    }
  }

  /** A request that its author takes back on two phones while neither has a network, each time for another reason: the office is to choose. */
  takenBackTwice(what: string, phones: [Phone, Phone], reasons: [string, string]): void {
    const [first] = phones;
    first.do("report", "三原华丰", what);
    for (const phone of phones) phone.do("sync");
    phones.forEach((phone, n) => {
      phone.do("search", what);
      phone.do("withdraw", "1", reasons[n] ?? "");
    });
    for (const phone of [...phones, first]) phone.do("sync");
  }

  /** A technician's phone, enrolled and up to date. */
  async phone(who: string): Promise<Phone> {
    const { short_code } = await this.ask<{ short_code: string }>("admin", "/api/device-codes", { staff: await this.staff(who) });
    const phone = new Phone(join(this.dir, `phone-${who}-${newId()}`), who);
    phone.do("enrol", this.url, short_code);
    phone.do("sync");
    return phone;
  }
}

let browser: Browser | undefined;

export async function openBrowser(): Promise<Browser> {
  const flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: flags.split(" ") });
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = undefined;
}

/** Somebody at their desk: a browser of their own, and all that went wrong in it. */
export class Desk {
  /** What the browser complained about: refused by the policy, thrown by the page. */
  readonly complaints: string[] = [];
  /** Requests under way; the stream of what is new never ends. */
  private readonly asking = new Set<Request>();
  private constructor(
    readonly office: Office,
    readonly context: BrowserContext,
    readonly page: Page,
  ) {
    page.on("request", (request) => {
      if (request.resourceType() !== "eventsource" && !request.url().includes("/api/events")) this.asking.add(request);
    });
    const done = (request: Request) => this.asking.delete(request);
    page.on("requestfinished", done);
    page.on("requestfailed", done);
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (said) => {
      if (said.type() === "error" && /Content Security|React/.test(said.text())) this.complaints.push(said.text());
    });
  }

  static async open(office: Office, language: "zh-CN" | "en" = "zh-CN"): Promise<Desk> {
    const context = await (await openBrowser()).newContext({ viewport: { width: 1360, height: 900 }, baseURL: office.url });
    // A function's text would be changed by the compiler; a plain text is not.
    await context.addInitScript(`try { localStorage.setItem("onsite.language", ${JSON.stringify(language)}) } catch {}`);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    return new Desk(office, context, page);
  }

  /** Somebody signed in, at a page. */
  static async at(office: Office, login: Login, path = "/"): Promise<Desk> {
    return (await Desk.open(office)).signIn(login, path);
  }

  async signIn(login: Login, path = "/"): Promise<this> {
    await this.page.goto(path);
    await this.page.waitForURL(/\/login/);
    await this.page.locator('input[autocomplete="username"]').fill(login);
    await this.page.locator('input[type="password"]').fill(PASSWORD);
    await this.page.keyboard.press("Enter");
    await this.page.locator("#main").waitFor();
    return this;
  }

  async go(path: string): Promise<void> {
    await this.page.goto(path);
    await this.page.locator("#main h1").first().waitFor();
  }

  /** Until all that the page asked for is there, and stands: for three looks one after another nothing is under way. */
  async quiet(): Promise<void> {
    const begun = Date.now();
    for (let looks = 0; looks < 3; ) {
      if (Date.now() - begun > 20_000) throw new Error(`${this.page.url()} does not come to rest: ${[...this.asking].map((one) => one.url()).join(", ") || (await this.page.evaluate<string>(RESTLESS))}`);
      // Two frames: an answer is drawn, and has asked for what it leads to.
      await this.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))");
      const stands = await this.page.evaluate<boolean>(STANDS);
      looks = stands && this.asking.size === 0 ? looks + 1 : 0;
    }
  }

  /** A picture, where pictures are wanted. */
  async shot(name: string, fullPage = false): Promise<void> {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage });
  }

  /** What an accessibility check finds serious on the screen shown. */
  async barriers(): Promise<string[]> {
    await this.page.evaluate(axe.source);
    const found = await this.page.evaluate(async () => {
      const { axe: check } = globalThis as unknown as { axe: typeof axe };
      const result = await check.run(document, { runOnly: ["wcag2a", "wcag2aa"] });
      return result.violations.map((v) => ({ id: v.id, impact: v.impact, where: v.nodes.map((n) => n.html.slice(0, 160)) }));
    });
    return found.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.where.slice(0, 3).join(" | ")}`);
  }

  /** Presses a key until something has the focus, seen at every stop to have it: told as a screen reader tells it. */
  async keyTo(wanted: RegExp, key = "Tab", most = 80): Promise<void> {
    const stops: string[] = [];
    while (stops.length < most) {
      await this.page.keyboard.press(key);
      const at = await this.page.evaluate<{ seen: boolean; html: string } | null>(FOCUS);
      if (at === null) continue;
      const said = (await this.page.locator(":focus").ariaSnapshot()).split("\n")[0] ?? "";
      expect(at.seen, `the focus is not seen on ${said}: ${at.html}`).toBe(true);
      stops.push(said);
      if (wanted.test(said)) return;
    }
    throw new Error(`${key} does not get to ${String(wanted)}:\n${stops.join("\n")}`);
  }

  async close(): Promise<void> {
    await this.context.close();
    expect(this.complaints).toEqual([]);
  }
}

/** Whether nothing on the page is said to be loading, or moves. */
const STANDS = `document.querySelector("[aria-busy=true], .state[role=status]") === null && !document.getAnimations().some((one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity)`;

/** What it is that does not stand. */
const RESTLESS = `document.querySelector("[aria-busy=true], .state[role=status]")?.outerHTML ?? document.getAnimations().map((one) => one.animationName ?? one.transitionProperty).join()`;

/** What has the focus, and whether it looks otherwise for having it: itself, what stands beside it for it, or what is around it. */
const FOCUS = `(async () => {
  const at = document.activeElement;
  if (at === null || at === document.body) return null;
  const looks = [at, at.nextElementSibling];
  for (let above = at.parentElement; above !== null && looks.length < 6; above = above.parentElement) looks.push(above);
  const look = () => {
    void at.getBoundingClientRect();
    for (const moving of document.getAnimations()) if (moving.effect?.getComputedTiming().endTime !== Infinity) moving.finish();
    return looks.map((node) => {
      if (node === null) return "";
      const { outlineStyle, outlineWidth, outlineColor, boxShadow, borderColor, backgroundColor, textDecorationLine } = getComputedStyle(node);
      return [outlineStyle === "none" ? "" : outlineWidth + outlineColor, boxShadow, borderColor, backgroundColor, textDecorationLine].join(" ");
    });
  };
  const box = at.getBoundingClientRect();
  const inView = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  const having = look();
  at.blur();
  // A part of a library takes its mark off a moment later.
  let seen = false;
  for (let n = 0; n < 10 && !seen; n += 1) {
    await new Promise(requestAnimationFrame);
    seen = look().some((one, n) => one !== having[n]);
  }
  at.focus({ focusVisible: true });
  return { seen: seen && inView, html: at.outerHTML.slice(0, 200) };
})()`;
