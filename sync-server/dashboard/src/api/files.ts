import { infiniteQueryOptions, keepPreviousData, queryOptions, useInfiniteQuery, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { answer, api } from "./client";
import { settings } from "./queries";
import type { components } from "./schema";
import type { Day, Document, Kind, Page, Row, Settings } from "./types";

type S = components["schemas"];

// ---- visit 现场记录, customer file 客户档案 ----

export type VisitDetail = S["VisitDetail"];
export type PhotoShown = S["PhotoShown"];
export type CustomerShown = S["CustomerDetail"];
export type Contract = S["Contract"];

export const visit = (id: string) =>
  queryOptions({
    queryKey: ["visit", id],
    queryFn: ({ signal }) => answer(api.GET("/api/visits/{id}", { params: { path: { id } }, signal })),
    meta: { kinds: ["visit", "work_order", "request", "settings"] as Kind[] },
  });

// ---- calls, complaints, suggestions ----

/** Any document by its id, of a kind that is known. */
export const document = <K extends Kind>(kind: K, id: string) =>
  queryOptions({
    queryKey: ["document", id],
    queryFn: ({ signal }) => answer(api.GET("/api/documents/{id}", { params: { path: { id } }, signal })) as Promise<Document<K>>,
    meta: { kinds: [kind] as Kind[] },
  });

interface ListAsked {
  kind: Kind;
  status?: string;
  search?: string;
  flagged?: boolean;
  /** The latest first. */
  latest?: boolean;
}

/** Rows of a kind, page after page. */
export const list = (asked: ListAsked) =>
  infiniteQueryOptions({
    queryKey: ["list", asked],
    queryFn: ({ signal, pageParam }): Promise<Page> =>
      answer(api.GET("/api/documents", { params: { query: { ...asked, limit: 50, ...(pageParam === undefined ? {} : { after: pageParam }) } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    meta: { kinds: [asked.kind] },
    placeholderData: keepPreviousData,
  });

/** Customers with a call due by today, the longest due first. */
export const callsDue = () =>
  infiniteQueryOptions({
    queryKey: ["calls-due"],
    queryFn: ({ signal, pageParam }): Promise<Page> => answer(api.GET("/api/calls", { params: { query: { limit: 50, ...(pageParam === undefined ? {} : { after: pageParam }) } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    meta: { kinds: ["customer", "follow_up", "settings"] as Kind[] },
  });

/** What a query that asks page after page knows of the next one. */
export interface Paged {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

export interface Listed {
  rows: Row[] | undefined;
  query: Paged & { isError: boolean; error: unknown; refetch: () => unknown };
}

/** What a list has shown so far. */
export function useListed(options: ReturnType<typeof list> | ReturnType<typeof callsDue>): Listed {
  const query = useInfiniteQuery(options as ReturnType<typeof list>);
  return { rows: query.data?.pages.flatMap((page) => page.rows), query };
}

// ---- penalties and rewards ----

export type Severity = S["Severity"];
export type Decision = S["Decision"];
export type Evidence = S["Evidence"];
export type ProposalShown = Omit<S["ProposalShown"], "statements"> & { statements: Document<"statement">[] };

/** Penalties and rewards, some at a time: of the newest complaints and suggestions first. */
export const proposals = (asked: { part?: ProposalShown["part"]; staff?: string; quarter?: string; subject?: string }) =>
  infiniteQueryOptions({
    queryKey: ["proposals", asked],
    queryFn: ({ signal, pageParam }) =>
      answer(api.GET("/api/proposals", { params: { query: { ...asked, after: pageParam } }, signal })) as Promise<Omit<S["ProposalPage"], "rows"> & { rows: ProposalShown[] }>,
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    meta: { kinds: ["appraisal", "complaint", "statement", "suggestion", "visit", "work_order", "staff", "settings"] as Kind[] },
    placeholderData: keepPreviousData,
  });

// ---- figures ----

export const FIGURES = [
  "first_time_fix",
  "repeat_visits",
  "on_time_arrival",
  "mttr",
  "time_to_restore",
  "csat",
  "answer_rate",
  "complaint_rate",
  "calls_on_time",
  "collection",
  "stay_variance",
] as const satisfies S["FigureName"][];
export type FigureName = S["FigureName"];
export type Figure = S["Figure"];
export type Figures = S["Figures"];
export type FigureCase = S["FigureCase"];

export interface FiguresAsked {
  from?: Day;
  to?: Day;
  staff?: string;
}

const RECKONED: Kind[] = ["work_order", "visit", "request", "complaint", "follow_up", "customer", "settings"];

export const figures = (asked: FiguresAsked) =>
  queryOptions({
    queryKey: ["figures", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/figures", { params: { query: asked }, signal })),
    meta: { kinds: RECKONED },
    placeholderData: keepPreviousData,
  });

export const trend = (asked: FiguresAsked & { by: "month" | "quarter" }) =>
  queryOptions({
    queryKey: ["figures-trend", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/figures/trend", { params: { query: asked }, signal })),
    meta: { kinds: RECKONED },
    placeholderData: keepPreviousData,
  });

export const figureCases = (figure: FigureName, asked: FiguresAsked, counted?: FigureCase["counted"]) =>
  infiniteQueryOptions({
    queryKey: ["figure-cases", figure, asked, counted],
    queryFn: ({ signal, pageParam }) =>
      answer(api.GET("/api/figures/jobs", { params: { query: { figure, ...asked, counted, after: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    meta: { kinds: RECKONED },
    placeholderData: keepPreviousData,
  });

// ---- settings, users, sessions ----

/** The company's settings; nothing where it never set anything. */
export function useSettings(): UseQueryResult<Settings | null> {
  return useQuery(settings);
}

export type UserRow = S["UserRow"];

export const users = queryOptions({
  queryKey: ["users"],
  queryFn: ({ signal }) => answer(api.GET("/api/users", { signal })),
  meta: { kinds: ["staff"] as Kind[] },
});

export const sessions = queryOptions({
  queryKey: ["sessions"],
  queryFn: ({ signal }) => answer(api.GET("/api/sessions", { signal })),
  meta: { kinds: [] as Kind[] },
});
