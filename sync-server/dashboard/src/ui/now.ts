import { useSyncExternalStore } from "react";

const MINUTE = 60_000;
let now = Date.now();

function tick(changed: () => void): () => void {
  now = Date.now();
  const timer = setInterval(() => {
    now = Date.now();
    changed();
  }, MINUTE / 2);
  return () => clearInterval(timer);
}

/** The present, to half a minute: what is overdue becomes so before the eyes. */
export function useNow(): number {
  return useSyncExternalStore(tick, () => now);
}
