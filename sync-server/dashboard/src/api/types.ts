/** The API's own types by the names that the page uses; `schema.d.ts` is made of its document. */
import type { components } from "./schema";

type S = components["schemas"];

export type Millis = S["Millis"];
export type Fen = S["Fen"];
/** `at±offset~doubt`, in milliseconds: see `stampOf`. */
export type Stamp = S["Stamp"];
/** `YYYY-MM-DD` by the company's calendar. */
export type Day = string;

export type Role = S["Role"];
export type Kind = S["Kind"];
export type Stage = S["Stage"];
export type Entitlement = S["Entitlement"];
export type SignoffRole = S["SignoffRole"];
export type WorkType = S["WorkType"];
export type Said = S["Said"];
export type DocRef = S["DocRef"];
export type Row = S["Row"];
export type Page = S["Page"];
export type Me = S["Me"];
export type Person = S["StaffRow"];
export type Task = S["Task"];
export type Today = S["Today"];
export type BoardColumn = S["BoardColumn"];
export type Settings = S["Settings"];

/** A document of a kind that is known. */
export type Document<K extends Kind> = Row & { entity: Extract<S["Entity"], { kind: K }> };
export type Customer = S["Customer"];
export type Request = S["Request"];
export type RequiredItem = S["RequiredItem"];
export type CustomerDetail = S["CustomerDetail"];
export type Diff = S["Diff"];
export type Entitled = S["Entitled"];
export type Signoff = S["SignoffShown"];
export type VisitDetail = S["VisitDetail"];
export type TimelineItem = S["TimelineItem"];
export type Slot = S["Slot"];
export type Calendar = S["Calendar"];

/** A job, its customer and its request being documents of these kinds. */
export type WorkOrderDetail = Omit<S["WorkOrderDetail"], "customer" | "request"> & {
  customer: Document<"customer"> | null;
  request: Document<"request"> | null;
};

export type Device = S["DeviceRow"];
export type DeviceDetail = S["DeviceDetail"];
export type DeviceCode = S["DeviceCode"];
export type SyncNote = S["SyncNote"];
export type RefusedRow = S["RefusedRow"];
export type AsideCommand = S["AsideCommand"];
export type ClashItem = S["ClashItem"];
export type AuditEntry = S["AuditEntry"];
export type AuditVerified = S["AuditVerified"];

/** In patches what is absent stays, though the document's types know only its default. */
type Patched<C> = C extends { do: "plan_dispatch"; patch: infer P }
  ? Omit<C, "patch"> & { patch: Partial<P> }
  : C extends { do: "change_settings" }
    ? Partial<C> & { do: "change_settings" }
    : C;

/** What somebody wants done: the same command that phones give. */
export type Command = Patched<S["Command"]>;
