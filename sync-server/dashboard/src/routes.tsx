import {
  ProjectOutlined,
  SunOutlined,
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
];

