/** What the office's API says, as far as the page uses it. */

export type Millis = number;
export type Fen = number;
/** `at±offset~doubt`, in milliseconds: see `stampOf`. */
export type Stamp = string;
/** `YYYY-MM-DD` by the company's calendar. */
export type Day = string;

export type Role =
  | "clerk"
  | "service_manager"
  | "technician"
  | "warehouse"
  | "finance"
  | "office_director"
  | "production"
  | "admin";

export type Kind =
  | "staff"
  | "settings"
  | "customer"
  | "request"
  | "work_order"
  | "visit"
  | "follow_up"
  | "complaint"
  | "statement"
  | "suggestion"
  | "appraisal";

export type Stage =
  | "reported"
  | "withdrawn"
  | "planning"
  | "awaiting_signoffs"
  | "dispatched"
  | "acknowledged"
  | "travelling"
  | "on_site"
  | "awaiting_customer"
  | "completed"
  | "incomplete"
  | "customer_told"
  | "closed"
  | "archived"
  | "cancelled";

export type Entitlement = "in_warranty" | "annual_contract" | "per_visit";
export type SignoffRole = "warehouse" | "service_manager" | "finance" | "office_director";
export type WorkType = "installation" | "repair";

/** A text for people, in both languages. */
export interface Said {
  zh: string;
  en: string;
}

export interface DocRef {
  kind: Kind;
  id: string;
}

export interface Summary {
  doc: DocRef;
  parent: string | null;
  number: string;
  title: string;
  subtitle: string;
  status: string;
  due: Millis | null;
  people: string[];
  flags: string[];
}

export interface Row {
  doc: DocRef;
  ver: number;
  heads: string[];
  changed: Millis;
  clashes: number;
  summary: Summary;
}

export interface Page {
  rows: Row[];
  next: string | null;
}

export interface Me {
  login: string;
  name: string;
  staff: string;
  roles: Role[];
  company: string;
}

export interface Task {
  count: number;
  more: boolean;
  rows: Row[];
}

export interface Device {
  id: string;
  code: string;
  name: string;
  staff: string;
  app: string;
  enrolled: Millis;
  revoked: Millis | null;
  wiped: boolean | null;
  contact: Millis | null;
  offset: number | null;
  unsent_changes: number | null;
  unsent_blobs: number | null;
  oldest_unsent: Millis | null;
  refused: number | null;
  cursor: number | null;
  behind: number | null;
  documents: number | null;
  silent: boolean;
}

export interface Today {
  now: Millis;
  day: Day;
  overdue_arrivals: Task;
  calls_due: Task;
  signoffs: Task;
  requests: Task;
  returned_machines: Task;
  opinions: Task;
  contradictions: Task;
  follow_ons: Task;
  proposals: number;
  complaints: Task;
  clashes: number;
  refused: number;
  phones: { silent: Device[]; unsent: number; revoked_with_unsent: number };
  stages: Partial<Record<Stage, number>>;
}

export interface BoardColumn {
  stage: Stage;
  count: number;
  rows: Row[];
  next: string | null;
}

export interface Executed {
  docs: DocRef[];
  head: number;
}
