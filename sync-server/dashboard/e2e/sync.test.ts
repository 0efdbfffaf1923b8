import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeBrowser, Desk, Office } from "./office";

let office: Office;
beforeAll(async () => {
  office = await Office.open();
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

describe("a phone", () => {
  it("that comes back is on an open page within a second, without reload", async () => {
    const customer = await office.customer("三原华丰蛋托包装厂");
    const order = await office.dispatched(customer, "李卫东");
    const phone = await office.phone("李卫东");
    const desk = await Desk.at(office, "clerk", `/work-orders/${order}`);
    const { page } = desk;
    await page.getByText("还没有人到现场").waitFor();
    await page.getByText("实时", { exact: true }).waitFor();
    await page.evaluate("globalThis.here = true");
    // Offline: nothing of it is at the office.
    phone.do("list", "work_order");
    phone.do("arrive", "1");
    expect(await page.getByText("还没有人到现场").count()).toBe(1);
    // The best of three: other programs may hold the processor for a while.
    const took: number[] = [];
    for (const text of ["更换密封圈", "更换真空阀", "试机正常"]) {
      phone.do("text", "1", "resolution", text);
      await page.evaluate(`void (globalThis.seen = new Promise((seen) => {
        const look = () => document.body.innerText.includes(${JSON.stringify(text)}) && seen(Date.now());
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
      }))`);
      phone.do("sync");
      const synced = Date.now();
      took.push((await page.evaluate<number>("globalThis.seen")) - synced);
    }
    await page.getByText("现场服务", { exact: true }).first().waitFor();
    expect(await page.evaluate("globalThis.here")).toBe(true);
    expect(Math.min(...took), `${took.join(", ")} ms after the syncs ended`).toBeLessThan(1000);
    await desk.shot("work-order-live", true);
    await desk.close();
  });

  it("is enrolled by the code that is shown, told of in the list, and revoked", async () => {
    const desk = await Desk.at(office, "admin", "/devices");
    const { page } = desk;
    await page.getByRole("button", { name: "登记新手机" }).click();
    await page.getByRole("combobox", { name: "谁的手机" }).fill("赵敏");
    await page.getByTitle(/^赵敏/).click();
    await page.getByRole("button", { name: "生成登记码" }).click();
    const qr = page.getByRole("img", { name: "手机登记二维码" });
    await qr.waitFor();
    expect(await qr.evaluate((node) => (node as HTMLImageElement).naturalWidth > 0)).toBe(true);
    const code = (await page.locator(".enrol-code").innerText()).trim();
    await desk.shot("enrol");
    const { Phone } = await import("./office");
    const phone = new Phone(`${office.dir}/enrolled`, "赵敏");
    phone.do("enrol", office.url, code);
    phone.do("sync");
    await page.getByRole("button", { name: /^完\s*成$/ }).click();
    const row = page.getByRole("row", { name: /赵敏/ });
    await row.getByText("已全部上传").waitFor();
    expect(await desk.barriers()).toEqual([]);
    await row.getByRole("link").click();
    await page.getByRole("heading", { name: "同步记录" }).waitFor();
    await desk.shot("device", true);
    await page.getByRole("button", { name: /^停\s*用$/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: /^停\s*用$/ }).click();
    await page.getByText(/^已停用/).first().waitFor();
    try {
      phone.do("sync");
    } catch (error) {
      expect(String(error)).toMatch(/停用|revoked/);
    }
    // Told so at its next contact, it has wiped itself.
    await page.reload();
    await page.getByText("已停用并清除").first().waitFor();
    await desk.close();
  });
});

describe("a page left open", () => {
  it("through a restart of the server recovers by itself and shows what came meanwhile", async () => {
    const customer = await office.customer("礼泉绿源工业包装公司");
    const desk = await Desk.at(office, "clerk", "/board");
    const { page } = desk;
    await page.getByText("实时", { exact: true }).waitFor();
    await page.evaluate("globalThis.here = true");
    await office.stop();
    await page.getByText("连接中断，正在重连…").waitFor();
    await office.serve();
    await office.order(customer, "碎浆机异响");
    await page.getByText("碎浆机异响").waitFor();
    await page.getByText("实时", { exact: true }).waitFor();
    expect(await page.evaluate("globalThis.here")).toBe(true);
    await desk.close();
  });
});
