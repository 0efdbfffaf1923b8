import { queryOptions } from "@tanstack/react-query";
import { get } from "./client";
import type { Calendar, CustomerDetail, Document, Entitled, Kind, Request, TimelineItem, WorkOrderDetail } from "./types";

/** What a job's answer hangs on. */
const JOB: Kind[] = ["work_order", "visit", "request", "customer", "complaint", "settings", "staff"];

export const workOrder = (id: string) =>
  queryOptions({
    queryKey: ["work-order", id],
    queryFn: ({ signal }) => get<WorkOrderDetail>(`/api/work-orders/${id}`, undefined, signal),
    meta: { kinds: JOB },
  });

export const timeline = (id: string) =>
  queryOptions({
    queryKey: ["timeline", id],
    queryFn: ({ signal }) => get<TimelineItem[]>(`/api/work-orders/${id}/timeline`, undefined, signal),
    meta: { kinds: ["work_order", "visit", "request"] as Kind[] },
  });

export const calendar = (from: number, to: number) =>
  queryOptions({
    queryKey: ["calendar", from, to],
    queryFn: ({ signal }) => get<Calendar>("/api/calendar", { from, to }, signal),
    meta: { kinds: ["work_order", "visit", "customer"] as Kind[] },
  });

export const request = (id: string) =>
  queryOptions({
    queryKey: ["request", id],
    queryFn: ({ signal }) => get<Document<Request>>(`/api/documents/${id}`, undefined, signal),
    meta: { kinds: ["request", "work_order", "visit"] as Kind[] },
  });

export const customer = (id: string | undefined) =>
  queryOptions({
    queryKey: ["customer", id],
    queryFn: ({ signal }) => get<CustomerDetail>(`/api/customers/${id ?? ""}`, undefined, signal),
    meta: { kinds: ["customer", "work_order", "request", "visit", "complaint", "follow_up", "settings"] as Kind[] },
    enabled: id !== undefined,
  });

export const entitlement = (customer: string | undefined, equipment: string | undefined, reported?: number) =>
  queryOptions({
    queryKey: ["entitlement", customer, equipment, reported],
    queryFn: ({ signal }) => get<Entitled>("/api/entitlement", { customer, equipment, reported }, signal),
    meta: { kinds: ["customer", "settings"] as Kind[] },
    enabled: customer !== undefined,
  });
