import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answer, api } from "./client";
import type { Kind } from "./types";

// What phones say of themselves changes with no document: every poke asks these again, and so does time.
const OFTEN = 30_000;

export const devices = queryOptions({
  queryKey: ["devices"],
  queryFn: ({ signal }) => answer(api.GET("/api/devices", { signal })),
  refetchInterval: OFTEN,
});

export const device = (id: string) =>
  queryOptions({
    queryKey: ["device", id],
    queryFn: ({ signal }) => answer(api.GET("/api/devices/{id}", { params: { path: { id } }, signal })),
    refetchInterval: OFTEN,
  });

export const clashes = infiniteQueryOptions({
  queryKey: ["clashes"],
  queryFn: ({ signal, pageParam }) => answer(api.GET("/api/clashes", { params: { query: { after: pageParam, limit: 50 } }, signal })),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
});

export const refused = (decided: boolean) =>
  infiniteQueryOptions({
    queryKey: ["refused", decided],
    queryFn: ({ signal, pageParam }) => answer(api.GET("/api/set-aside", { params: { query: { decided, after: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
  });

export const audit = infiniteQueryOptions({
  queryKey: ["audit"],
  queryFn: ({ signal, pageParam }) => answer(api.GET("/api/audit", { params: { query: { after: pageParam, limit: 100, descending: true } }, signal })),
  initialPageParam: undefined as number | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
  meta: { kinds: [] as Kind[] },
  refetchOnMount: "always" as const,
});
