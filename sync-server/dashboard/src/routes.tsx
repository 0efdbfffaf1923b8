import {
  ApiOutlined,
  AuditOutlined,
  BulbOutlined,
  CalendarOutlined,
  CloudUploadOutlined,
  CustomerServiceOutlined,
  FrownOutlined,
  LineChartOutlined,
  MobileOutlined,
  PhoneOutlined,
  ProjectOutlined,
  PullRequestOutlined,
  SettingOutlined,
  ShopOutlined,
  StopOutlined,
  SunOutlined,
  TeamOutlined,
  TrophyOutlined,
} from "@ant-design/icons";
import type { ComponentType, ReactNode } from "react";
import type { Role, Today } from "./api/types";
import type page from "./locales/zh-CN.json";

/** Parts of the side navigation, in their order. */
export const GROUPS = ["day", "jobs", "customers", "conduct", "sync", "company"] as const;

export interface Screen {
  path: string;
  /** A chunk of its own: fetched when somebody goes there. */
  load: () => Promise<{ default: ComponentType }>;
  /** Its place in the side navigation, if it has one. */
  nav?: {
    group: (typeof GROUPS)[number];
    label: keyof typeof page;
    icon: ReactNode;
    /** Whose work it is; everybody's where absent. Others find it by its address. */
    roles?: Role[];
    /** How much waits there. */
    waits?: (today: Today) => number;
  };
}

/** Every screen there is. */
export const SCREENS: Screen[] = [
  {
    path: "/",
    load: () => import("./pages/today"),
    nav: { group: "day", label: "nav.today", icon: <SunOutlined /> },
  },
  {
    path: "/board",
    load: () => import("./pages/board"),
    nav: { group: "jobs", label: "nav.board", icon: <ProjectOutlined /> },
  },
  {
    path: "/calendar",
    load: () => import("./pages/calendar"),
    nav: { group: "jobs", label: "nav.calendar", icon: <CalendarOutlined />, roles: ["service_manager", "clerk", "admin"] },
  },
  {
    path: "/requests/new",
    load: () => import("./pages/request/new"),
    nav: { group: "jobs", label: "nav.request", icon: <PhoneOutlined />, roles: ["clerk", "service_manager"] },
  },
  { path: "/requests/:id", load: () => import("./pages/request/one") },
  { path: "/work-orders/:id", load: () => import("./pages/work-order") },
  { path: "/visits/:id", load: () => import("./pages/visit") },
  {
    path: "/customers",
    load: () => import("./pages/customers"),
    nav: { group: "customers", label: "customer.title", icon: <ShopOutlined /> },
  },
  { path: "/customers/:id", load: () => import("./pages/customer") },
  {
    path: "/calls",
    load: () => import("./pages/calls"),
    nav: { group: "customers", label: "call.title", icon: <CustomerServiceOutlined />, roles: ["clerk", "service_manager", "admin"], waits: (today) => today.calls_due.count },
  },
  {
    path: "/complaints",
    load: () => import("./pages/complaints"),
    nav: { group: "customers", label: "complaint.title", icon: <FrownOutlined />, waits: (today) => today.complaints.count },
  },
  {
    path: "/proposals",
    load: () => import("./pages/proposals"),
    nav: { group: "conduct", label: "proposal.title", icon: <TrophyOutlined />, waits: (today) => today.proposals },
  },
  {
    path: "/suggestions",
    load: () => import("./pages/suggestions"),
    nav: { group: "conduct", label: "suggestion.title", icon: <BulbOutlined /> },
  },
  {
    path: "/figures",
    load: () => import("./pages/figures"),
    nav: { group: "conduct", label: "figure.title", icon: <LineChartOutlined /> },
  },
  {
    path: "/devices",
    load: () => import("./pages/devices"),
    nav: { group: "sync", label: "nav.devices", icon: <MobileOutlined /> },
  },
  { path: "/account", load: () => import("./pages/account") },
  { path: "/devices/:id", load: () => import("./pages/device") },
  {
    path: "/clashes",
    load: () => import("./pages/clashes"),
    nav: { group: "sync", label: "nav.clashes", icon: <PullRequestOutlined />, waits: (today) => today.clashes },
  },
  {
    path: "/refused",
    load: () => import("./pages/refused"),
    nav: { group: "sync", label: "nav.refused", icon: <StopOutlined />, waits: (today) => today.refused },
  },
  {
    path: "/staff",
    load: () => import("./pages/staff"),
    nav: { group: "company", label: "staff.title", icon: <TeamOutlined /> },
  },
  {
    path: "/settings",
    load: () => import("./pages/settings"),
    nav: { group: "company", label: "settings.title", icon: <SettingOutlined />, roles: ["admin", "service_manager"] },
  },
  {
    path: "/import",
    load: () => import("./pages/import"),
    nav: { group: "company", label: "import.title", icon: <CloudUploadOutlined />, roles: ["clerk", "service_manager"] },
  },
  {
    path: "/connections",
    load: () => import("./pages/connections"),
    nav: { group: "company", label: "connections.title", icon: <ApiOutlined />, roles: ["admin", "service_manager"] },
  },
  {
    path: "/audit",
    load: () => import("./pages/audit"),
    nav: { group: "company", label: "nav.audit", icon: <AuditOutlined />, roles: ["admin", "service_manager"] },
  },
];
