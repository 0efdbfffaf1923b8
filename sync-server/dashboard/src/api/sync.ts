import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { get } from "./client";
import type { AuditPage, ClashItem, Device, DeviceDetail, Kind, RefusedRow } from "./types";

// What phones say of themselves changes with no document: every poke asks these again, and so does time.
const OFTEN = 30_000;

export const devices = queryOptions({
  queryKey: ["devices"],
  queryFn: ({ signal }) => get<Device[]>("/api/devices", undefined, signal),
  refetchInterval: OFTEN,
});

export const device = (id: string) =>
  queryOptions({
    queryKey: ["device", id],
    queryFn: ({ signal }) => get<DeviceDetail>(`/api/devices/${id}`, undefined, signal),
    refetchInterval: OFTEN,
  });

export const clashes = infiniteQueryOptions({
  queryKey: ["clashes"],
  queryFn: ({ signal, pageParam }) => get<ClashItem[]>("/api/clashes", { after: pageParam, limit: 50 }, signal),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => (page.length === 50 ? page.at(-1)?.key : undefined),
});

export const refused = (decided: boolean) =>
  queryOptions({
    queryKey: ["refused", decided],
    queryFn: ({ signal }) => get<RefusedRow[]>("/api/set-aside", { decided }, signal),
  });

export const audit = infiniteQueryOptions({
  queryKey: ["audit"],
  queryFn: ({ signal, pageParam }) => get<AuditPage>("/api/audit", { after: pageParam, limit: 100, descending: true }, signal),
  initialPageParam: undefined as number | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
  meta: { kinds: [] as Kind[] },
  refetchOnMount: "always" as const,
});
