import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answer, api } from "./client";
import type { components } from "./schema";
import type { Kind } from "./types";

type S = components["schemas"];

// ---- files: lists to be saved, customers to be taken in ----

export type ExportList = S["ExportList"];
export type Imported = S["ImportShown"];
export type LineError = S["LineErrorShown"];
export type PlannedLine = S["PlannedLine"];

/** A file as the body of a request, as it is. */
const bytes = (file: File) => ({
  body: file as never,
  bodySerializer: (body: unknown) => body as File,
  headers: { "content-type": "application/octet-stream" },
});

/** What a file would do; nothing is taken. */
export const look = (file: File): Promise<Imported> =>
  answer(api.POST("/api/import/customers/preview", { params: { query: { filename: file.name } }, ...bytes(file) }));

/** Takes the file that was looked at. */
export const take = (file: File, sha256: string): Promise<Imported> =>
  answer(api.POST("/api/import/customers", { params: { query: { filename: file.name, sha256 } }, ...bytes(file) }));

// ---- what other programs read, and are told ----

export type Feed = S["CalendarFeed"];
export type Webhook = S["Webhook"];
export type WebhookEvent = S["WebhookEvent"];
export type Delivery = S["WebhookDelivery"];

export const feeds = queryOptions({
  queryKey: ["calendar-feeds"],
  queryFn: ({ signal }) => answer(api.GET("/api/calendar-feeds", { signal })),
  meta: { kinds: [] as Kind[] },
});

/** How far a webhook is behind changes with no document. */
const OFTEN = 10_000;

export const webhooks = queryOptions({
  queryKey: ["webhooks"],
  queryFn: ({ signal }) => answer(api.GET("/api/webhooks", { signal })),
  meta: { kinds: [] as Kind[] },
  refetchInterval: OFTEN,
});

export const deliveries = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["webhooks", id],
    queryFn: ({ signal, pageParam }) => answer(api.GET("/api/webhooks/{id}/deliveries", { params: { path: { id }, query: { after: pageParam } }, signal })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    meta: { kinds: [] as Kind[] },
    refetchInterval: OFTEN,
  });
