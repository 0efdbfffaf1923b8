import { useCallback } from "react";
import { useSearchParams } from "react-router";

type Change = Record<string, string | undefined>;

/** A page's conditions, kept in its address: they outlive a reload and can be sent to a colleague. */
export function useUrl(): [URLSearchParams, (change: Change) => void] {
  const [params, setParams] = useSearchParams();
  const change = useCallback(
    (change: Change) =>
      setParams(
        (before) => {
          const after = new URLSearchParams(before);
          for (const [name, value] of Object.entries(change)) {
            if (value) after.set(name, value);
            else after.delete(name);
          }
          return after;
        },
        { replace: true },
      ),
    [setParams],
  );
  return [params, change];
}
