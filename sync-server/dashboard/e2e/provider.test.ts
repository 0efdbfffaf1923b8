import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { closeBrowser, Desk, Office } from "./office";

let provider: Server;
// The provider tells what it was not told.
vi.spyOn(console, "info").mockImplementation(() => undefined);
vi.spyOn(console, "warn").mockImplementation(() => undefined);
let office: Office;
beforeAll(async () => {
  // Its address is part of what it says of itself, and so is the office's.
  provider = createServer();
  provider.listen(0, "127.0.0.1");
  await once(provider, "listening");
  const issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const client = { client_id: "onsite", client_secret: "between the two" };
  office = await Office.open({
    ONSITE_OIDC__ISSUER: issuer,
    ONSITE_OIDC__CLIENT_ID: client.client_id,
    ONSITE_OIDC__CLIENT_SECRET: client.client_secret,
    ONSITE_OIDC__NAME: "公司统一认证",
    ONSITE_OIDC__CLAIM: "sub",
  });
  const said = new Provider(issuer, { clients: [{ ...client, redirect_uris: [`${office.url}/api/session/oidc/callback`] }], claims: { openid: ["sub"], email: ["email"], profile: ["name"] } });
  const serve = said.callback();
  provider.on("request", (request, response) => void serve(request, response));
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
  provider.close();
});

/** Signs in at the provider, by its own pages. */
async function enter(desk: Desk, login: string): Promise<void> {
  const { page } = desk;
  await page.getByRole("link", { name: "公司统一认证" }).click();
  await page.locator('input[name="login"]').fill(login);
  await page.locator('input[name="password"]').fill("of the provider");
  await page.locator('button[type="submit"]').click();
  await page.getByRole("button", { name: "Continue" }).click();
}

describe("an identity provider", () => {
  it("lets in whom it names, on to the page that was asked for", async () => {
    const desk = await Desk.open(office);
    const { page } = desk;
    await page.goto("/board?q=abc");
    await page.waitForURL(/\/login\?next=/);
    await desk.shot("login-provider");
    await enter(desk, "clerk");
    await page.waitForURL(`${office.url}/board?q=abc`);
    await page.getByRole("button", { name: "刘芳" }).waitFor();
    await desk.close();
  });

  it("lets in to a form that was to be printed", async () => {
    const desk = await Desk.open(office);
    const customer = await office.customer("三原华丰蛋托包装厂");
    const form = `/api/work-orders/${await office.order(customer)}/dispatch/print?lang=zh-CN`;
    await desk.page.goto(form);
    await desk.page.waitForURL(/\/login\?next=/);
    await enter(desk, "manager");
    await desk.page.getByText("第一联").first().waitFor();
    expect(desk.page.url()).toBe(office.url + form);
    await desk.close();
  });

  it("does not let in whom nobody here knows, and says so", async () => {
    const desk = await Desk.open(office);
    await desk.page.goto("/login");
    await enter(desk, "stranger");
    await desk.page.getByRole("alert").waitFor();
    expect(await desk.barriers()).toEqual([]);
    await desk.shot("login-stranger");
    await desk.page.goto("/");
    await desk.page.waitForURL(/\/login/);
    await desk.close();
  });
});
