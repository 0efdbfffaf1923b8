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

export interface Mark {
  at: Stamp;
  by: string;
}
export interface Reasoned extends Mark {
  reason: string;
}

/** What differs between two contents. */
export interface Diff {
  path: string;
  label: Said;
  before: unknown;
  after: unknown;
}

export interface Contradicted {
  key: string;
  sentence: Said;
  at: [Millis, Millis];
}

export interface Entitled {
  entitlement: Entitlement;
  warranty_until: Day | null;
  contract: string | null;
  overridden: string | null;
}

export interface Signoff {
  role: SignoffRole;
  state: "missing" | "signed" | "voided";
  by: string | null;
  at: Stamp | null;
  changed: Diff[];
}

export interface RequiredItem {
  part_no: string;
  name: string;
  unit: string;
  required: number;
  issued: number;
  returned: number;
  removed: boolean;
}

export interface Dispatch {
  issued: Mark | null;
  order_date: Day | null;
  customer_name: string;
  contact_name: string;
  contact_phone: string;
  service_address: string;
  expected_stay_minutes: number | null;
  service_description: string;
  items: Record<string, RequiredItem>;
  cash_advance: Fen;
  balance_to_collect: Fen;
  remarks: string;
}

export interface Assignment {
  technician: string | null;
  lead: boolean;
  assigned: Mark | null;
  ended: Reasoned | null;
}

export interface WorkOrder {
  number: string | null;
  request: string | null;
  customer: string | null;
  equipment: string | null;
  work_type: WorkType | null;
  opened: Mark | null;
  reported: Stamp | null;
  dispatch: Dispatch;
  assignments: Record<string, Assignment>;
  arrival_deadline: Millis | null;
  planned_start: Millis | null;
  round: number;
  redispatched: Record<string, Reasoned>;
  advance_paid: Mark | null;
  bookings: Record<string, { mark: Mark; receipt: string | null; amount: Fen; what: string }>;
  cancelled: Reasoned | null;
  closed: Mark | null;
  archived: Mark | null;
  feedback: { mark: Mark; problem: string; solved: boolean } | null;
  returned_machine: Partial<Record<"received" | "repaired" | "sent_back" | "replaced", Mark>>;
  settled: Record<string, Reasoned>;
}

export interface Equipment {
  model: string;
  serial: string;
  name: string;
  address: string | null;
  installed: Day | null;
  warranty_until: Day | null;
  replaced_by: string | null;
  removed: boolean;
}

export interface Contract {
  kind: "annual" | "per_visit";
  number: string;
  from: Day | null;
  to: Day | null;
  equipment: string | null;
  removed: boolean;
}

export interface Customer {
  name: string;
  code: string;
  contacts: Record<string, { name: string; phone: string; position: string; removed: boolean }>;
  addresses: Record<string, { label: string; text: string; removed: boolean }>;
  equipment: Record<string, Equipment>;
  contracts: Record<string, Contract>;
  notes: string;
}

export interface Request {
  provisional_number: string;
  author: string | null;
  customer: string | null;
  customer_name: string;
  contact_name: string;
  contact_phone: string;
  address: string;
  equipment: string | null;
  problem: string;
  reported: Stamp | null;
  withdrawn: Reasoned | null;
}

export interface Visit {
  items: Record<string, { name: string; used: number; taken_back: number }>;
  outcome: "completed" | "incomplete" | null;
  incomplete_reason: string | null;
  satisfaction: string | null;
  resolution: string;
}

export interface VisitDetail {
  row: Row;
  entity: Visit;
  stage: Stage;
  number: string;
  signature: "none" | "valid" | "voided" | "refused";
  signature_changed: Diff[];
  times: { arrived: Stamp | null; departed: Stamp | null; stay_ms: number | null; expected_stay_ms: number | null; work_ms: number | null };
  money: { collected: Fen; spent: Fen };
  merges: Said[];
}

export interface Document<T> extends Row {
  entity: T;
}

export interface WorkOrderDetail {
  row: Row;
  entity: WorkOrder;
  stage: Stage;
  contradictions: Contradicted[];
  entitlement: Entitled;
  customer: Document<Customer> | null;
  request: Document<Request> | null;
  content: string;
  signoffs: Signoff[];
  fully_signed: boolean;
  visits: VisitDetail[];
  complaints: Row[];
  follow_ons: Row[];
  goes_on_from: Row | null;
  overdue_arrival: Millis | null;
  money: {
    cash_advance: Fen;
    advance_paid: boolean;
    spent: Fen;
    balance_to_collect: Fen;
    collected: Fen;
    remaining: Fen;
    booked: Fen;
  };
  can: string[];
}

export interface TimelineItem {
  at: Millis;
  received: Millis;
  doc: DocRef;
  by: string | null;
  device: string;
  device_code: string | null;
  labels: Said[];
  hash: string;
}

export interface Slot {
  doc: DocRef;
  number: string;
  title: string;
  address: string;
  stage: Stage;
  start: Millis;
  end: Millis;
  planned: boolean;
  deadline: Millis | null;
  lead: boolean;
  actual: { arrived: Millis | null; departed: Millis | null };
  conflicts: string[];
}

export interface Calendar {
  people: { staff: string; jobs: Slot[] }[];
  unassigned: Slot[];
}

export interface SyncNote {
  at: Millis;
  app: string;
  offset: number;
  pushed: number;
  accepted: number;
  refused: number;
  delivered: number;
  bytes_in: number;
  bytes_out: number;
  unsent: number;
  error: string;
}

export interface RefusedRow {
  doc: DocRef;
  hash: string;
  title: string;
  number: string;
  staff: string;
  device: string;
  device_code: string;
  code: string;
  field: string;
  why: Said;
  because_of: string | null;
  at: Millis;
  bytes: number;
  leaves: { path: string; label: Said; mine: unknown; stands: unknown }[];
  decided: { verdict: "accepted" | "amended" | "dismissed"; by: string; at: Millis; reason: string } | null;
}

export interface DeviceDetail {
  device: Device;
  syncs: SyncNote[];
  refused: RefusedRow[];
}

export interface DeviceCode {
  code: string;
  short_code: string;
  url: string;
  expires: Millis;
  qr: string;
}

export interface ClashItem {
  doc: DocRef;
  title: string;
  number: string;
  key: string;
  clashes: {
    path: string;
    label: Said;
    values: { value: unknown; told: Said; by: string | null; at: Millis; change: string; wins: boolean }[];
  }[];
}

export interface AuditPage {
  rows: { n: number; at: Millis; by: string; action: string; subject: string; detail: unknown; hash: string }[];
  next: number | null;
}

export interface AuditVerified {
  holds: boolean;
  entries: number;
  end: string;
  broken: number | null;
}

export interface CustomerDetail {
  row: Row;
  entity: Customer;
  equipment: {
    id: string;
    warranty_from: Day | null;
    warranty_until: Day | null;
    contract: string | null;
    entitlement_today: Entitlement;
    jobs: number;
  }[];
  jobs: Row[];
  requests: Row[];
  complaints: Row[];
  owed: Fen;
  charged: Fen;
  collected: Fen;
  next_call: Day | null;
  call_overdue: boolean;
}
