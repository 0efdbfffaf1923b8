import { keepPreviousData, queryOptions, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useMemo } from "react";
import { setZone } from "../format";
import { answer, api } from "./client";
import { Problem } from "./problem";
import type { Document, Kind, Me, Page, Person, Role, Settings } from "./types";

/** The one settings document has the same id everywhere. */
const SETTINGS = "0e517e00-0000-7000-8000-000000000001";

export const session = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => answer(api.GET("/api/session", { signal })),
  meta: { kinds: ["staff"] },
  staleTime: 60_000,
});

/** How one can sign in, besides by password. */
export const waysToSignIn = queryOptions({
  queryKey: ["sign-in"],
  queryFn: ({ signal }) => answer(api.GET("/api/sign-in", { signal })),
  meta: { kinds: [] as Kind[] },
  staleTime: 300_000,
});

/** Who is signed in. Only below the frame, which asks first. */
export function useMe(): Me | undefined {
  return useQuery(session).data;
}

/** Whether whoever is signed in holds one of these roles. */
export function useHolds(...roles: Role[]): boolean {
  const me = useMe();
  return roles.some((role) => me?.roles.includes(role));
}

const staff = queryOptions({
  queryKey: ["staff"],
  queryFn: ({ signal }) => answer(api.GET("/api/staff", { signal })),
  meta: { kinds: ["staff"] },
  staleTime: 300_000,
});

export interface People {
  all: Person[];
  /** Those who can be sent. */
  technicians: Person[];
  name: (id: string | null | undefined) => string;
}

/** Everybody of the company, by name. */
export function usePeople(): People {
  const { data } = useQuery(staff);
  return useMemo(() => {
    const all = data ?? [];
    const names = new Map(all.map((person) => [person.id, person.name]));
    return {
      all,
      technicians: all.filter((person) => !person.left && person.roles.includes("technician")),
      name: (id) => (id ? (names.get(id) ?? "") : ""),
    };
  }, [data]);
}

/** The company's settings; sets the clock that everything is shown by. */
export const settings = queryOptions({
  queryKey: ["settings"],
  queryFn: async ({ signal }): Promise<Settings | null> => {
    try {
      const { entity } = await answer(api.GET("/api/documents/{id}", { params: { path: { id: SETTINGS } }, signal }));
      const found = entity as Document<"settings">["entity"];
      setZone(found.utc_offset_minutes);
      return found;
    } catch (error) {
      // A company that never set anything has the defaults.
      if (error instanceof Problem && error.status === 404) return null;
      throw error;
    }
  },
  meta: { kinds: ["settings"] },
  staleTime: 300_000,
});

export const today = queryOptions({
  queryKey: ["today"],
  queryFn: ({ signal }) => answer(api.GET("/api/today", { signal })),
});

export interface BoardAsked {
  person?: string;
  search?: string;
  limit?: number;
}

export const board = (asked: BoardAsked) =>
  queryOptions({
    queryKey: ["board", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/board", { params: { query: asked }, signal })),
    meta: { kinds: ["work_order", "visit", "request", "customer"] },
    placeholderData: keepPreviousData,
  });

export interface ListAsked {
  kind?: Kind;
  status?: string;
  person?: string;
  parent?: string;
  search?: string;
  clashes?: boolean;
  flagged?: boolean;
  after?: string;
  limit?: number;
}

/** Without conditions that say nothing. */
function said(asked: ListAsked): ListAsked {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined && value !== ""));
}

/** Documents of a kind, a page at a time. */
export function useDocuments(asked: ListAsked, enabled = true): UseQueryResult<Page> {
  return useQuery({
    queryKey: ["documents", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/documents", { params: { query: said(asked) }, signal })),
    placeholderData: keepPreviousData,
    enabled,
  });
}
