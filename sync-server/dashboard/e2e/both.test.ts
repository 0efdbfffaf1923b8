import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId } from "../src/id";
import { closeBrowser, COMPANY, Desk, Office, type Phone } from "./office";

const NAME = "马修";
let office: Office;
let customer: { id: string; machine: string };
let phone: Phone;
/** Somebody of the office who goes out as well: their phone writes what others of the office write. */
beforeAll(async () => {
  office = await Office.open();
  office.cli(["user", "add", "--company", COMPANY, "--name", NAME, "--role", "technician", "--role", "clerk"]);
  customer = await office.customer("三原华丰蛋托包装厂");
  await office.dispatched(customer, NAME);
  phone = await office.phone(NAME);
});
afterAll(async () => {
  await closeBrowser();
  await office.close();
});

interface File {
  entity: { call_interval_days: number | null; code: string; contacts: Record<string, { phone: string }>; addresses: Record<string, { text: string }> };
}
const file = async (): Promise<File["entity"]> => (await office.ask<File>("clerk", `/api/documents/${customer.id}`)).entity;
const give = (command: Record<string, unknown>): string => phone.do("give", JSON.stringify(command));

describe("a customer's particulars, written offline and in the office at once", () => {
  it("clash, and the office chooses, by keys alone", async () => {
    const [contact] = Object.keys((await file()).contacts);
    const put = (number: string): Record<string, unknown> => ({ do: "put_contact", customer: customer.id, id: contact, contact: { name: "吴厂长", phone: number, position: "厂长", removed: false } });
    give(put("13900000001"));
    await office.give("clerk", put("13900000002"));
    const desk = await Desk.at(office, "manager", "/clashes");
    const { page } = desk;
    await page.getByText("没有冲突").waitFor();
    phone.do("sync");
    const clash = page.locator(".clash").first();
    await clash.waitFor();
    for (const said of [NAME, "刘芳", "13900000001", "13900000002"]) await clash.getByText(said).waitFor();
    expect(await desk.barriers()).toEqual([]);
    await desk.shot("clash-choosing");
    const choice = clash.getByRole("radio", { name: /13900000001/ });
    await desk.keyTo(/radio ".*1390000000/);
    for (let arrows = 0; arrows < 3 && !(await choice.isChecked()); arrows += 1) await page.keyboard.press("ArrowDown");
    expect(await choice.isChecked()).toBe(true);
    await desk.keyTo(/button "选定"/);
    await page.keyboard.press("Enter");
    await page.getByText("没有冲突").waitFor();
    expect((await file()).contacts[contact ?? ""]?.phone).toBe("13900000001");
    phone.do("sync");
    expect(phone.do("clashes")).not.toContain("13900000002");
    await desk.close();
  });
});

describe("edits by somebody who is of the office no longer", () => {
  it("are refused, shown beside what stands, amended, accepted, or dismissed", async () => {
    const [contact, address] = [Object.keys((await file()).contacts)[0] ?? "", Object.keys((await file()).addresses)[0] ?? ""];
    give({ do: "put_customer", id: customer.id, name: "三原华丰蛋托包装厂", code: "", project_completed: null, call_interval_days: 45 });
    give({ do: "put_contact", customer: customer.id, id: contact, contact: { name: "吴厂长", phone: "13900000003", position: "厂长", removed: false } });
    give({ do: "put_address", customer: customer.id, id: address, address: { label: "", text: "三原县新厂区", removed: false } });
    const second = newId();
    give({ do: "put_address", customer: customer.id, id: second, address: { label: "", text: "泾阳县二厂", removed: false } });
    await office.give("admin", { do: "put_staff", id: await office.staff(NAME), name: NAME, code: "", phone: "", roles: ["technician"] });
    const desk = await Desk.at(office, "manager", "/refused");
    const { page } = desk;
    await page.getByText("没有待决定的修改").waitFor();
    phone.do("sync");
    const items = page.locator("section.refused");
    await expect.poll(() => items.count()).toBe(4);
    expect(phone.do("refused")).toContain("45");
    const about = (text: string) => items.filter({ hasText: text });
    for (const text of ["45", "13900000003", "三原县新厂区", "泾阳县二厂"]) await about(text).getByText(NAME).waitFor();
    expect(await desk.barriers()).toEqual([]);
    await desk.shot("refused", true);

    for (const [text, field, value, reason] of [["45", "回访间隔", "60", "按合同两个月一次"], ["13900000003", "电话", "13900000004", "少写一位"]] as const) {
      await about(text).getByRole("button", { name: "改后采用" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel(field).fill(value);
      await dialog.getByLabel("原因").fill(reason);
      await desk.shot("refused-amending");
      await dialog.getByRole("button", { name: "改后采用" }).click();
      await about(text).waitFor({ state: "detached" });
    }
    for (const [text, what, reason] of [["泾阳县二厂", "采纳", "确有二厂"], ["三原县新厂区", "不采纳", "尚未搬迁"]] as const) {
      await about(text).getByRole("button", { name: what, exact: true }).click();
      await page.getByRole("dialog").getByRole("textbox").fill(reason);
      await page.getByRole("dialog").getByRole("button", { name: what, exact: true }).click();
      await about(text).waitFor({ state: "detached" });
    }
    await page.getByText("没有待决定的修改").waitFor();
    const shown = (entity: File["entity"]) => [entity.call_interval_days, entity.contacts[contact]?.phone, entity.addresses[address]?.text, entity.addresses[second]?.text];
    const decided = [60, "13900000004", "陕西省三原县工业园", "泾阳县二厂"];
    expect(shown(await file())).toEqual(decided);
    // What was decided can be read again, with the reason.
    await page.getByRole("switch").click();
    for (const said of ["按合同两个月一次", "少写一位", "确有二厂", "尚未搬迁"]) await page.getByText(said).waitFor();
    // The phone is told, and agrees with the office.
    phone.do("sync");
    phone.do("list", "customer");
    const { entity } = JSON.parse(phone.do("--json", "show", "1")) as File;
    expect(shown(entity)).toEqual(decided);
    await desk.close();
  });
});
