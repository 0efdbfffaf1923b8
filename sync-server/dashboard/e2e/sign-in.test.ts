import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office } from "./office";

let office: Office;
let provider: Server;

/** An identity provider that knows everybody by their login name, at another site than the office. */
async function provide(url: string): Promise<Record<string, string>> {
  provider = createServer();
  provider.listen(0, "127.0.0.1");
  await once(provider, "listening");
  const issuer = `http://localhost:${(provider.address() as AddressInfo).port}`;
  const secret = randomBytes(16).toString("hex");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const oidc = new Provider(issuer, {
    clients: [{ client_id: "onsite", client_secret: secret, redirect_uris: [`${url}/api/session/oidc/callback`] }],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "one", use: "sig" }] },
    cookies: { keys: [secret] },
    conformIdTokenClaims: false,
    claims: { openid: ["sub"], profile: ["preferred_username"] },
    findAccount: (_, login) => ({ accountId: login, claims: () => ({ sub: login, preferred_username: login }) }),
  });
  provider.on("request", oidc.callback() as never);
  return { ONSITE_OIDC__ISSUER: issuer, ONSITE_OIDC__CLIENT_ID: "onsite", ONSITE_OIDC__CLIENT_SECRET: secret, ONSITE_OIDC__CLAIM: "preferred_username", ONSITE_OIDC__NAME: "集团账号" };
}

beforeAll(async () => {
  office = await Office.open(provide);
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
  provider.closeAllConnections();
  provider.close();
});

describe("signing in", () => {
  it("says what is wrong, leads to what was asked for, and out again", async () => {
    const desk = await Desk.open(office);
    const { page } = desk;
    await page.goto("/board?q=abc");
    await page.waitForURL(/\/login\?next=/);
    await page.getByLabel("用户名").fill("clerk");
    await page.getByLabel("密码", { exact: true }).fill("not the one");
    await page.keyboard.press("Enter");
    await page.getByText("用户名或密码不正确").waitFor();
    expect(await desk.barriers()).toEqual([]);
    await page.getByLabel("密码", { exact: true }).fill("a long passphrase");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/board\?q=abc$/);
    await page.getByRole("heading", { name: "派工看板" }).waitFor();
    expect(await page.getByRole("searchbox", { name: /按编号/ }).inputValue()).toBe("abc");
    await page.getByRole("button", { name: "刘芳" }).click();
    await page.getByRole("menuitem", { name: "退出登录" }).click();
    await page.waitForURL(/\/login$/);
    await page.goto("/devices");
    await page.waitForURL(/\/login/);
    await desk.close();
  });
});

describe("signing in through an identity provider", () => {
  const button = (page: Page) => page.getByRole("link", { name: "用集团账号登录" });
  /** At the provider: a name, any password, and that the office may know it. */
  const enter = async (page: Page, login: string): Promise<void> => {
    await page.waitForURL(/^http:\/\/localhost:/);
    await page.locator('input[name="login"]').fill(login);
    await page.locator('input[name="password"]').fill("theirs");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Continue" }).click();
  };

  it("leads to the page asked for, after a try that was broken off too", async () => {
    const desk = await Desk.open(office);
    const { page } = desk;
    await page.goto("/board?q=abc");
    await page.waitForURL(/\/login\?next=/);
    expect(await desk.barriers()).toEqual([]);
    await button(page).click();
    await page.waitForURL(/^http:\/\/localhost:/);
    await page.getByRole("link", { name: /Cancel/ }).click();
    await page.getByText("统一身份认证没有放行").waitFor();
    await button(page).click();
    await enter(page, "clerk");
    await page.waitForURL(`${office.url}/board?q=abc`);
    await page.getByRole("heading", { name: "派工看板" }).waitFor();
    await page.getByRole("button", { name: "刘芳" }).waitFor();
    await desk.close();
  });

  it("leads to a form that was asked for", async () => {
    const order = await office.dispatched(await office.customer("三原华丰蛋托包装厂"), "李卫东");
    const desk = await Desk.open(office);
    const { page } = desk;
    const form = `/api/work-orders/${order}/dispatch/print`;
    await page.goto(form);
    await page.waitForURL(/\/login\?next=/);
    await button(page).click();
    await enter(page, "manager");
    await page.waitForURL(office.url + form);
    await page.getByText("三原华丰蛋托包装厂").first().waitFor();
    await desk.close();
  });

  it("lets nobody in whom the office does not know", async () => {
    const desk = await Desk.open(office);
    const { page } = desk;
    await page.goto("/login");
    await button(page).click();
    await enter(page, "stranger");
    await page.waitForURL(/\/login\?problem=oidc_unknown_user/);
    await page.goto("/board");
    await page.waitForURL(/\/login/);
    await desk.close();
  });
});
