import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "../src/id";
import { closeBrowser, Desk, Office } from "./office";

let office: Office;
beforeAll(async () => {
  office = await Office.open();
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

const customers = async (search: string): Promise<{ rows: { summary: { title: string } }[] }> => office.ask("clerk", `/api/documents?kind=customer&search=${encodeURIComponent(search)}`);

describe("the customer file", () => {
  it("is taken in from a file that was looked at, faults told line by line, and given out again", async () => {
    const desk = await Desk.at(office, "clerk", "/customers");
    const { page } = desk;
    const asked: string[] = [];
    page.on("request", (request) => request.url().includes("/api/documents?kind=customer") && asked.push(request.url()));
    const go = async (name: string): Promise<void> => {
      await page.getByRole("navigation").getByRole("link", { name, exact: true }).click();
      await page.getByRole("heading", { name, level: 1 }).waitFor();
      await desk.quiet();
    };
    await go("导入客户");
    const file = join(office.dir, "customers.csv");
    const head = "客户编码,客户名称,联系人,电话,地址,设备名称,产品型号,出厂编号\n";
    writeFileSync(file, `${head}C001,泾阳金穗果托有限公司,吴厂长,029-88886666,泾阳县工业园,热压机,ZM-2000,RY0007\nC002,,李经理,不是号码,,,,\n`);
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByText("1 处有误").waitFor();
    await page.getByText("“不是号码”不是电话号码").waitFor();
    expect(await page.getByRole("button", { name: /^导\s*入$/ }).count()).toBe(0);
    expect((await customers("泾阳")).rows).toEqual([]);
    await desk.shot("import-faults");
    // Looked at is not taken: the list that was shown is still good.
    asked.length = 0;
    await go("客户档案");
    expect(asked).toEqual([]);
    await go("导入客户");
    writeFileSync(file, `${head}C001,泾阳金穗果托有限公司,吴厂长,029-88886666,泾阳县工业园,热压机,ZM-2000,RY0007\nC002,三原华丰蛋托包装厂,李经理,029-55501842,,,,\n`);
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByText("客户：新增 2，更改 0，不变 0").waitFor();
    await desk.shot("import");
    expect(await desk.barriers()).toEqual([]);
    await page.getByRole("button", { name: /^导\s*入$/ }).click();
    await page.getByText("已导入").waitFor();
    expect((await customers("泾阳")).rows.map((row) => row.summary.title)).toEqual(["泾阳金穗果托有限公司"]);

    await page.getByRole("link", { name: "查看客户" }).click();
    await page.getByRole("button", { name: "导出" }).click();
    const saving = page.waitForEvent("download");
    await page.getByRole("link", { name: "设备（CSV）" }).click();
    const saved = readFileSync(await (await saving).path(), "utf8");
    expect(saved.split("\r\n").filter((line) => line.includes("RY0007") && line.includes("泾阳金穗果托有限公司"))).toHaveLength(1);
    await desk.close();
  });
});

describe("other programs", () => {
  it("read a technician's calendar at an address that is shown once, until it is ended", async () => {
    const desk = await Desk.at(office, "manager", "/connections");
    const { page } = desk;
    const sheet = page.getByRole("region", { name: "日历订阅" });
    await sheet.getByRole("button", { name: /^添\s*加$/ }).click();
    await page.getByRole("combobox", { name: "人员" }).fill("赵敏");
    await page.getByTitle(/^赵敏/).click();
    await page.getByRole("button", { name: "生成地址" }).click();
    const address = (await page.locator(".once").innerText()).trim();
    await desk.shot("feed");
    const read = async (): Promise<Response> => fetch(address);
    expect(await (await read()).text()).toMatch(/^BEGIN:VCALENDAR[\s\S]*赵敏/);
    await page.getByRole("button", { name: /^完\s*成$/ }).click();
    // The manager gives out calendars; webhooks are the admin's.
    expect(await page.getByRole("region", { name: "事件通知（Webhook）" }).count()).toBe(0);
    await sheet.getByRole("button", { name: /^移\s*除$/ }).click();
    await page.getByRole("tooltip").getByRole("button", { name: /^移\s*除$/ }).click();
    await sheet.getByText("还没有人订阅").waitFor();
    expect((await read()).status).toBe(404);
    await desk.close();
  });

  it("are told what happens, signed, and the log shows what they answered", async () => {
    const heard: { headers: IncomingHttpHeaders; type: string }[] = [];
    let answering = 500;
    const receiver = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        heard.push({ headers: request.headers, type: (JSON.parse(body) as { type: string }).type });
        response.writeHead(answering).end("noted");
      });
    });
    receiver.listen(0, "127.0.0.1");
    await once(receiver, "listening");
    try {
      const desk = await Desk.at(office, "admin", "/connections");
      const { page } = desk;
      const sheet = page.getByRole("region", { name: "事件通知（Webhook）" });
      await sheet.getByRole("button", { name: /^添\s*加$/ }).click();
      await page.getByLabel("地址").fill(`http://127.0.0.1:${(receiver.address() as AddressInfo).port}/erp`);
      await page.getByRole("combobox", { name: "事件" }).fill("收到投诉");
      await page.getByTitle("收到投诉", { exact: true }).click();
      await page.getByLabel("用途").fill("ERP");
      await page.keyboard.press("Enter");
      expect(await page.locator(".once").innerText()).toMatch(/^whsec_/);
      await page.getByRole("button", { name: /^完\s*成$/ }).click();
      // Refused at first, and told so; sent again from the log, taken.
      await sheet.getByRole("button", { name: /^测\s*试$/ }).click();
      const log = page.getByRole("dialog");
      await log.getByText("500", { exact: true }).waitFor();
      answering = 200;
      await log.getByRole("button", { name: /^重\s*发$/ }).first().click();
      await log.getByText("200", { exact: true }).waitFor();
      await desk.shot("webhook-log");
      await page.keyboard.press("Escape");
      const { id: customer } = await office.customer("杨凌绿源包装厂");
      await office.give("clerk", { do: "file_complaint", id: newId(), customer, work_order: null, staff: [], about: "other", description: "电话打不通。", received: null });
      await expect.poll(() => heard.filter(({ type }) => type === "complaint.received").length, { timeout: 20_000 }).toBe(1);
      expect(heard.every(({ headers }) => /^v1,/.test(String(headers["webhook-signature"])))).toBe(true);
      await sheet.getByText("正常", { exact: true }).waitFor();
      await desk.shot("connections");
      expect(await desk.barriers()).toEqual([]);
      await desk.close();
    } finally {
      receiver.close();
    }
  });
});
