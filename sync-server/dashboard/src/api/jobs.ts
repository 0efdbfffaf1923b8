import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "./client";
import type { Document, Kind, WorkOrderDetail } from "./types";

/** What a job's answer hangs on. */
const JOB: Kind[] = ["work_order", "visit", "request", "customer", "complaint", "settings", "staff"];

export const workOrder = (id: string) =>
  queryOptions({
    queryKey: ["work-order", id],
    queryFn: ({ signal }) => answer(api.GET("/api/work-orders/{id}", { params: { path: { id } }, signal })) as Promise<WorkOrderDetail>,
    meta: { kinds: JOB },
  });

export const timeline = (id: string) =>
  queryOptions({
    queryKey: ["timeline", id],
    queryFn: ({ signal }) => answer(api.GET("/api/work-orders/{id}/timeline", { params: { path: { id } }, signal })),
    meta: { kinds: ["work_order", "visit", "request"] as Kind[] },
  });

export const calendar = (from: number, to: number) =>
  queryOptions({
    queryKey: ["calendar", from, to],
    queryFn: ({ signal }) => answer(api.GET("/api/calendar", { params: { query: { from, to } }, signal })),
    meta: { kinds: ["work_order", "visit", "customer"] as Kind[] },
  });

export const request = (id: string) =>
  queryOptions({
    queryKey: ["request", id],
    queryFn: ({ signal }) => answer(api.GET("/api/documents/{id}", { params: { path: { id } }, signal })) as Promise<Document<"request">>,
    meta: { kinds: ["request", "work_order", "visit"] as Kind[] },
  });

export const customer = (id: string | undefined) =>
  queryOptions({
    queryKey: ["customer", id],
    queryFn: ({ signal }) => answer(api.GET("/api/customers/{id}", { params: { path: { id: id ?? "" } }, signal })),
    meta: { kinds: ["customer", "work_order", "request", "visit", "complaint", "follow_up", "settings"] as Kind[] },
    enabled: id !== undefined,
  });

export const entitlement = (customer: string | undefined, equipment: string | undefined, reported?: number) =>
  queryOptions({
    queryKey: ["entitlement", customer, equipment, reported],
    queryFn: ({ signal }) => answer(api.GET("/api/entitlement", { params: { query: { customer: customer ?? "", equipment, reported } }, signal })),
    meta: { kinds: ["customer", "settings"] as Kind[] },
    enabled: customer !== undefined,
  });
